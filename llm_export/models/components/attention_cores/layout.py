"""Which position each cache slot holds: arithmetic, so that no program keeps state for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_ALIGN = 8
"""Rings have a multiple of this many slots: an odd length helps no kernel."""


@dataclass(frozen=True)
class Ring:
    """``kept`` slots hold the first positions for ever, the others are written in turn.

    Position p is in slot p if p < kept, else in slot kept + (p - kept) % (slots - kept). So a
    slot from ``kept`` on holds the largest position up to the last one written that is
    congruent to it, if that is not below ``kept``. A cache as long as the context, of which
    every position has its own slot, is the case that never wraps.

    A step of S tokens overwrites the S oldest entries before any of its tokens reads them.
    """

    slots: int
    kept: int = 0
    wraps: bool = False

    @property
    def turning(self) -> int:
        """Slots that are written in turn."""
        return self.slots - self.kept

    @property
    def offset(self) -> int:
        """Added before a remainder by ``turning``, which it does not change, so that the
        number is never negative: kernels disagree about the sign of the remainder then."""
        return -(-self.slots // self.turning) * self.turning


Layout = Callable[[int | None], Ring]
"""A layer's window (None: it sees all) -> its cache."""


@dataclass(frozen=True)
class CacheLimits:
    """What the layout of caches depends on.

    Attributes:
        context: tokens that a layer without a window can look back on.
        step: most tokens a step takes.
        sinks: first tokens that an attention_sink cache keeps.
    """

    context: int
    step: int
    sinks: int = 0


def static(limits: CacheLimits) -> Layout:
    """One slot a position."""
    return lambda window: Ring(limits.context)


def ring(limits: CacheLimits) -> Layout:
    """As many slots as a window needs while a step is written; static without a window.

    The first token of a step of S reads ``window - 1`` positions before it, when the S
    positions from it on are already written: ``window - 1 + S`` slots.
    """

    def layout(window: int | None) -> Ring:
        needed = limits.context if window is None else window + limits.step - 1
        slots = min(limits.context, -(-needed // _ALIGN) * _ALIGN)
        return Ring(slots, wraps=slots < limits.context)

    return layout


def attention_sink(limits: CacheLimits) -> Layout:
    """Attention sinks and the most recent tokens (StreamingLLM, arXiv:2309.17453)."""
    return lambda window: Ring(limits.context, limits.sinks, wraps=True)


def rewind_limits(rings: dict[int | None, Ring]) -> tuple[int, int] | None:
    """(until, tokens): generation may go back to an earlier position while no more than
    ``until`` positions were ever written, or by at most ``tokens``; None is any time.

    Going back by d leaves d slots with later positions where the layout expects those that
    they overwrote; a window that ends before these does not miss them.
    """
    turning = [(window, r) for window, r in rings.items() if r.wraps]
    if not turning:
        return None
    slack = [0 if w is None or r.kept else max(0, r.slots - w + 1) for w, r in turning]
    return min(r.slots for _, r in turning), min(slack)
