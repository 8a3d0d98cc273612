"""KV caches of a program that takes and returns them (manifest: program.cache_io)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from runtime_py.zero_pages import zeros


def cache_shapes(entry: Mapping[str, Any]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of each cache of the manifest's program.cache_io, in the program's order:
    keys and values, then recurrent states.
    """
    return [*_key_values(entry), *_states(entry)]


def _key_values(entry: Mapping[str, Any]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    dtype = getattr(torch, entry.get("dtype", "float32"))
    return [
        (tuple(shape), dtype)
        for layer in entry["layers"]
        for shape in (layer["keys"], layer["values"])
        if shape
    ]


def _states(entry: Mapping[str, Any]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    found = entry.get("states") or ()
    return [(tuple(state["shape"]), getattr(torch, state["dtype"])) for state in found]


class OutsideCaches:
    """Keys and values of all layers, recurrent states, and the masks of a step, kept outside the
    program.

    Args:
        entry: the manifest's program.cache_io.
        context_length: cache slots, in tokens.
    """

    def __init__(self, entry: Mapping[str, Any], context_length: int) -> None:
        self.windows, self.hidden = entry["windows"], entry["hidden"]
        self.tensors = [zeros(shape, dtype) for shape, dtype in _key_values(entry)]
        self.states = [torch.zeros(shape, dtype=dtype) for shape, dtype in _states(entry)]
        self.slots = torch.arange(context_length)

    def inputs(self, position: int, length: int) -> list[Tensor]:
        """Masks, caches and states for a step of ``length`` tokens, padding included, starting at
        ``position``, in the program's order.
        """
        queries = torch.arange(position, position + length)[:, None]
        held = torch.cat((self.slots, queries[:, 0]))
        hidden = held > queries
        hidden[:, : len(self.slots)] |= self.slots >= position
        masks = [
            hidden if window is None else hidden | (held <= queries - window)
            for window in self.windows
        ]
        # A text begins with empty states, whatever came before it.
        states = [torch.zeros_like(s) for s in self.states] if position == 0 else self.states
        return [*(mask.float() * self.hidden for mask in masks), *self.tensors, *states]

    def store(self, made: Sequence[Tensor], position: int, count: int) -> None:
        """Store the keys and values of the step's first ``count`` tokens, and the states after it;
        the rest is padding, which a program with states never gets.
        """
        for cache, new in zip(self.tensors, made[: len(self.tensors)], strict=True):
            cache[:, :, position : position + count] = new[:, :, :count]
        carried = made[len(self.tensors) :]
        # A program may return its result in memory that it uses again.
        self.states = [new.clone() for _, new in zip(self.states, carried, strict=True)]
