"""The position that each cache slot holds, computed so that the program stores no state for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_ALIGN = 8
"""Ring sizes are rounded up to a multiple of this many slots: kernels gain nothing from odd
sizes.
"""


@dataclass(frozen=True)
class Ring:
    """Ring buffer: ``kept`` slots permanently hold the first positions, the others are reused
    cyclically.

    Position p is in slot p if p < kept, else in slot kept + (p - kept) % (slots - kept). So a slot
    from ``kept`` on holds the largest position, among those already written, that is congruent to
    it, if that is not below ``kept``. A cache as long as the context, with one slot per position,
    is the special case that never wraps.

    A step of S tokens overwrites the S oldest entries before any of its tokens reads them.
    """

    slots: int
    kept: int = 0
    wraps: bool = False

    @property
    def turning(self) -> int:
        """Number of slots that are reused cyclically."""
        return self.slots - self.kept

    @property
    def offset(self) -> int:
        """Added before taking the remainder by ``turning``, which it does not change. It keeps the
        number non-negative, because kernels disagree about the sign of the remainder of negative
        numbers.
        """
        return -(-self.slots // self.turning) * self.turning


Layout = Callable[[int | None], Ring]
"""A layer's window (None: full attention) -> its cache."""


@dataclass(frozen=True)
class CacheLimits:
    """The limits that determine the cache layout.

    Attributes:
        context: tokens that a layer without a window can attend to.
        step: maximum tokens per step.
        sinks: number of first tokens that an attention_sink cache keeps.
    """

    context: int
    step: int
    sinks: int = 0


def static(limits: CacheLimits) -> Layout:
    """One slot per position."""
    return lambda window: Ring(limits.context)


def ring(limits: CacheLimits) -> Layout:
    """As many slots as a window needs while a step is written; static without a window.

    The first token of a step of S reads the ``window - 1`` positions before it, after the S
    positions of the step have been written: this takes ``window - 1 + S`` slots.
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
    """(until, tokens): generation may rewind to any earlier position while at most ``until``
    positions were ever written, afterwards by at most ``tokens``; None means no limit.

    Rewinding by d leaves d slots with later positions in place of the entries that they overwrote;
    a window that ends before those entries is unaffected.
    """
    turning = [(window, r) for window, r in rings.items() if r.wraps]
    if not turning:
        return None
    slack = [0 if w is None or r.kept else max(0, r.slots - w + 1) for w, r in turning]
    return min(r.slots for _, r in turning), min(slack)
