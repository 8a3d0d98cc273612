"""KV caches of a program that takes and returns them (manifest: program.cache_io)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def cache_shapes(entry: Mapping[str, Any]) -> list[tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of each cache of the manifest's program.cache_io, in the program's order."""
    dtype = getattr(torch, entry.get("dtype", "float32"))
    return [
        (tuple(shape), dtype)
        for layer in entry["layers"]
        for shape in (layer["keys"], layer["values"])
        if shape
    ]


class OutsideCaches:
    """Keys and values of all layers, and the masks of a step, kept outside the program.

    Args:
        entry: the manifest's program.cache_io.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.windows, self.hidden = entry["windows"], entry["hidden"]
        self.tensors = [torch.zeros(shape, dtype=dtype) for shape, dtype in cache_shapes(entry)]
        self.slots = torch.arange(self.tensors[0].shape[2])

    def inputs(self, position: int, length: int) -> list[Tensor]:
        """Masks and caches for a step of ``length`` tokens, padding included, starting at
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
        return [*(mask.float() * self.hidden for mask in masks), *self.tensors]

    def store(self, made: Sequence[Tensor], position: int, count: int) -> None:
        """Store the keys and values of the step's first ``count`` tokens; the rest is padding."""
        for cache, new in zip(self.tensors, made, strict=True):
            cache[:, :, position : position + count] = new[:, :, :count]
