"""The memory in which a program keeps what it remembers of a text: keys and values by position, and
recurrent states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from runtime_py.cache_io import cache_shapes
from runtime_py.rows import Rows

METHOD = "state"
"""The method of the program that returns the memory."""

Copied = Mapping[str, Tensor]


class StateTensor(NamedTuple):
    """``slots``: the dimension along which there is a slot for each position, or for each of the
    last ones in a ring. None: every step may change all of it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    slots: int | None

    def rows(self, position: int, furthest: int) -> int:
        """Slots that hold something, or 0 for a tensor without slots. A ring fills its slots in
        order, and then writes them again."""
        if self.slots is None:
            return 0
        size = self.shape[self.slots]
        return size if furthest > size else position

    def filled(self, tensor: Tensor, rows: int) -> Tensor:
        return tensor if self.slots is None else tensor.narrow(self.slots, 0, rows)


def state_tensors(facts: Mapping[str, Any]) -> list[StateTensor]:
    """Of the manifest's entry ``program``, in the program's order; none if it says nothing."""
    if facts.get("cache_io"):
        return _outside(facts["cache_io"])
    return [
        StateTensor(
            each["name"], tuple(each["shape"]), getattr(torch, each["dtype"]), each.get("slots")
        )
        for each in facts.get("state", {"tensors": ()})["tensors"]
    ]


def _outside(entry: Mapping[str, Any]) -> list[StateTensor]:
    """Keys and values [1, K, T, E] of a program that takes and returns them, then its states."""
    found, states = [], len(entry.get("states") or ())
    shapes = cache_shapes(entry)
    for index, (shape, dtype) in enumerate(shapes):
        whole = index >= len(shapes) - states
        found.append(
            StateTensor(f"{index}.state" if whole else f"{index}.cache", shape, dtype,
                        None if whole else 2)
        )  # fmt: skip
    return found


class ProgramState:
    """
    Args:
        tensors: what there is.
        memory: returns the memory itself, in the same order.
        lasting: number of positions; a tensor with as many slots keeps what it has been given as
            long as no earlier position is written again. 0: none does.
    """

    def __init__(
        self, tensors: Sequence[StateTensor], memory: Callable[[], Sequence[Tensor]], lasting: int
    ) -> None:
        self.tensors = list(tensors)
        self._memory, self._lasting = memory, lasting

    def copied(self, position: int, furthest: int, *, changing: bool = False) -> dict[str, Tensor]:
        """A copy of what the program remembers at a position: name -> the filled slots, or all.

        Args:
            furthest: largest position that was ever reached in this text.
            changing: only of what later steps overwrite.
        """
        found = {}
        for each, memory in zip(self.tensors, self._memory(), strict=True):
            if changing and self._lasts(each):
                continue
            filled = each.filled(memory, each.rows(position, furthest))
            # Before the first step memory may hold another text.
            found[each.name] = filled.clone() if position else torch.zeros_like(filled)
        return found

    def put(self, copied: Copied, position: int, furthest: int) -> None:
        """Write back what ``copied`` has returned for the same arguments."""
        for each, memory in zip(self.tensors, self._memory(), strict=True):
            if each.name in copied:
                rows = each.rows(position, furthest)
                each.filled(memory, rows).copy_(copied[each.name])

    def rows(self, start: int, stop: int) -> Rows:
        """A copy of these slots of what later steps do not overwrite."""
        kept = {each.name: (each.slots, memory)
                for each, memory in zip(self.tensors, self._memory(), strict=True)
                if each.slots is not None and self._lasts(each)}  # fmt: skip
        tensors = {n: m.narrow(dim, start, stop - start).clone() for n, (dim, m) in kept.items()}
        return Rows(start, stop, tensors, {name: dim for name, (dim, _) in kept.items()})

    def put_rows(self, rows: Rows, start: int) -> None:
        """Write back the rows from ``start`` on."""
        memory = dict(zip((each.name for each in self.tensors), self._memory(), strict=True))
        for name, dim, tensor in rows.between(start, rows.stop):
            memory[name].narrow(dim, start, rows.stop - start).copy_(tensor)

    def lasting(self, copied: Copied, count: int) -> Rows:
        """The part of what ``copied`` has returned that ``rows`` would, not copied again."""
        slots = {each.name: each.slots for each in self.tensors
                 if each.slots is not None and self._lasts(each)}  # fmt: skip
        return Rows(0, count, {name: copied[name] for name in slots}, slots)

    def mismatch(self, copied: Copied, position: int, furthest: int) -> str:
        """What differs from what ``copied`` would return; '' if nothing does."""
        names = [each.name for each in self.tensors]
        if missing := set(names) ^ set(copied):
            return f"{min(missing)[:200]} is in only one of them"
        for each in self.tensors:
            shape, found = list(each.shape), copied[each.name]
            if each.slots is not None:
                shape[each.slots] = each.rows(position, furthest)
            if list(found.shape) != shape or found.dtype != each.dtype:
                return (
                    f"{each.name[:200]} is {tuple(found.shape)} of {found.dtype}, the program has "
                    f"{tuple(shape)} of {each.dtype}"
                )
        return ""

    def _lasts(self, each: StateTensor) -> bool:
        return each.slots is not None and each.shape[each.slots] == self._lasting
