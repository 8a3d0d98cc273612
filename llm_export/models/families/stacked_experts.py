"""Experts that a checkpoint stores in one tensor for all of a layer, gate above up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export.models.families.keymap import Shape, Split

if TYPE_CHECKING:
    from torch import Tensor


def stacked_experts(gate_up: str, down: str, mixture: str) -> list[Split]:
    """Rules for the tensors [X, 2 F, D] and [X, D, F].

    Args:
        gate_up, down: names in the checkpoint.
        mixture: the decoder's module that holds the experts.
    """
    expert = f"{mixture}.experts.{{e}}"
    halves = tuple(f"{expert}.gate_up.{x}.weight" for x in ("gate", "up"))
    return [
        Split(gate_up, halves, _cut_gate_up, _join_gate_up),
        Split(down, (f"{expert}.down.weight",), _cut_down, _join_down),
    ]


def _cut_gate_up(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """[X, 2 F, D] -> gate and up, [F, D], of one expert after the other."""
    return [half for expert in tensor for half in expert.chunk(2)]


def _join_gate_up(tensors: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(tensors).view(len(tensors) // 2, -1, tensors[0].shape[-1])


def _cut_down(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """[X, D, F] -> [D, F] per expert."""
    return list(tensor)


def _join_down(tensors: list[Tensor]) -> Tensor:
    import torch

    return torch.stack(tensors)
