"""Positions of a text to which a program can come back that cannot go back by itself."""

from __future__ import annotations

from typing import NamedTuple

from runtime_py.program_state import Copied

_MOST, _BYTES = 4, 256 << 20
"""Marks that are kept, and their memory; the oldest go first."""


class Mark(NamedTuple):
    """``copied``: what later steps change, as it was at ``position``; see ``ProgramState``."""

    position: int
    furthest: int
    copied: Copied

    @property
    def bytes(self) -> int:
        return sum(t.nbytes for t in self.copied.values())


class Marks:
    """The marks of one text, by position."""

    def __init__(self) -> None:
        self._kept: list[Mark] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Memory of all of them."""
        return sum(mark.bytes for mark in self._kept)

    def copy(self) -> Marks:
        """The same marks; their memory is shared."""
        copy = Marks()
        copy._kept = list(self._kept)
        return copy

    def add(self, mark: Mark) -> None:
        """``mark`` is at least as far as all others."""
        self._kept = [m for m in self._kept if m.position != mark.position] + [mark]
        while len(self._kept) > _MOST or self.bytes > _BYTES:
            del self._kept[0]

    def last(self, position: int) -> Mark | None:
        """The one nearest to a position, and not behind it."""
        return next((m for m in reversed(self._kept) if m.position <= position), None)

    def forget(self, after: int) -> None:
        """Drop those behind a position: what they rely on is about to be overwritten."""
        self._kept = [m for m in self._kept if m.position <= after]
