"""Positions that transformers' models number or mask in ways of their own. Written for
transformers 5.23.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def first_position(model: nn.Module) -> int:
    """The number of a text's first position: RoBERTa's models keep those up to the padding token's
    for padding."""
    for module in model.modules():
        own: Any = module
        numbers = hasattr(own, "create_position_ids_from_input_ids")
        if numbers and isinstance(getattr(own, "position_embeddings", None), nn.Embedding):
            return int(own.padding_idx) + 1
    return 0


def mask_tables(model: nn.Module) -> list[Any]:
    """Modules that hold which position sees which, ``bias`` [1, 1, P, P] bool, and take the last
    rows of as many columns as there are keys (GPT-Neo)."""
    return [module for module in model.modules() if _is_table(module._buffers.get("bias"))]


def _is_table(bias: Tensor | None) -> bool:
    square = bias is not None and bias.dim() == 4 and bias.shape[2] == bias.shape[3]
    return square and bias is not None and bias.dtype == torch.bool


@contextlib.contextmanager
def last_rows(tables: list[Any], positions: Tensor, slots: int) -> Iterator[None]:
    """Context in which the last rows of the tables are those of the step's positions [S], for a
    cache of as many slots as positions."""
    whole = [module._buffers.pop("bias") for module in tables]
    for module, table in zip(tables, whole, strict=True):
        module.bias = _LastRows(table[:, :, :slots, :slots][:, :, positions])
    try:
        yield
    finally:
        for module, table in zip(tables, whole, strict=True):
            del module.bias
            module._buffers["bias"] = table


class _LastRows:
    """A table of which only the last rows are there, [1, 1, S, T]: those are what a layer takes. A
    slice that begins at a position which the program computes would not run on every backend.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __getitem__(self, index: tuple[slice, ...]) -> Tensor:
        return self.rows
