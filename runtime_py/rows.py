"""Filled slots of caches that no later step overwrites: copied once, and shared by texts that begin
alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """Slots ``start`` to ``stop`` of a text. ``tensors`` may hold more slots, and never change.

    Attributes:
        slots: name -> the dimension of the tensor along which there is a slot for each position.
    """

    start: int
    stop: int
    tensors: Mapping[str, Tensor]
    slots: Mapping[str, int]

    def between(self, start: int, stop: int) -> Iterator[tuple[str, int, Tensor]]:
        """(name, dimension of slots, those from ``start`` to ``stop``)"""
        for name, tensor in self.tensors.items():
            dim = self.slots[name]
            yield name, dim, tensor.narrow(dim, start - self.start, stop - start)

    @property
    def bytes(self) -> int:
        return sum(t.nbytes for t in self.tensors.values())


class SavedRows:
    """The slots from 0 on that have been copied out of the program, without a gap."""

    def __init__(self, parts: list[Rows] | None = None) -> None:
        self.parts = parts or []

    @property
    def count(self) -> int:
        """Number of slots."""
        return self.parts[-1].stop if self.parts else 0

    @property
    def bytes(self) -> int:
        """Memory; parts may be shared with other texts."""
        return sum(part.bytes for part in self.parts)

    def copy(self) -> SavedRows:
        """The same slots; their memory is shared."""
        return SavedRows(list(self.parts))

    def cut(self, count: int) -> None:
        """Forget what is behind the first ``count`` slots: it is about to be overwritten."""
        while self.parts and self.parts[-1].start >= count:
            del self.parts[-1]
        if self.parts and self.parts[-1].stop > count:
            self.parts[-1] = replace(self.parts[-1], stop=count)

    def add(self, rows: Rows) -> None:
        """Add the slots behind the last one. Parts are joined so that each is larger than the one
        behind it: a text that leaves the program often has few of them."""
        if rows.stop == rows.start:
            return
        self.parts.append(rows)
        while len(self.parts) > 1 and _size(self.parts[-2]) <= _size(self.parts[-1]):
            last = self.parts.pop()
            self.parts[-1] = _joined(self.parts[-1], last)

    def common(self, other: SavedRows) -> int:
        """Number of slots at the beginning that are the same copies, not only of equal tokens."""
        found = 0
        for own, others in zip(self.parts, other.parts, strict=False):
            if own.tensors is not others.tensors:
                break
            found = min(own.stop, others.stop)
            if own.stop != others.stop:
                break
        return found

    def behind(self, start: int) -> Iterator[tuple[Rows, int]]:
        """(rows, the first slot of them that is not before ``start``)"""
        for part in self.parts:
            if part.stop > start:
                yield part, max(part.start, start)


def _size(part: Rows) -> int:
    return part.stop - part.start


def _joined(first: Rows, second: Rows) -> Rows:
    tensors = {
        name: torch.cat((a, b), dim)
        for (name, dim, a), (_, _, b) in zip(
            first.between(first.start, first.stop),
            second.between(second.start, second.stop),
            strict=True,
        )
    }
    return Rows(first.start, second.stop, tensors, first.slots)
