"""Tensor names of mixtures of experts that several Hugging Face checkpoints share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import Shape, Split

if TYPE_CHECKING:
    from torch import Tensor

_F = f"{D}.feed_forward"
_MATRICES = (("gate", "gate_up.gate"), ("up", "gate_up.up"), ("down", "down"))


def shared(where: str, leaf: str = "weight") -> list[tuple[str, str]]:
    """Names of the network that runs for every token, beside the experts."""
    return [
        (f"{L}.{where}.{theirs}_proj.{leaf}", f"{_F}.shared.{ours}.{leaf}")
        for theirs, ours in _MATRICES
    ]


def correction(where: str) -> tuple[str, str]:
    """Name of the router's correction."""
    return f"{L}.{where}", f"{_F}.router.correction"


def stacked(gate_up: str, down: str, written: bool = True, mixture: str = _F) -> list[Split]:
    """Names of experts that are stored as two tensors, [X, 2 F, D] and [X, D, F].

    Args:
        gate_up, down: names in a layer of the checkpoint.
        mixture: the decoder's module that holds the experts.
        written: see ``Split``.
    """
    halves, downs = (
        tuple(f"{mixture}.experts.{{e}}.{x}.weight" for x in names)
        for names in (("gate_up.gate", "gate_up.up"), ("down",))
    )
    return [
        Split(f"{L}.{gate_up}", halves, _cut_gate_up, _join_gate_up, written),
        Split(f"{L}.{down}", downs, _cut_down, _join_down, written),
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


def first_row(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """A correction [1, X] -> [X]."""
    return [tensor.reshape(-1)]


def as_row(tensors: list[Tensor]) -> Tensor:
    return tensors[0].unsqueeze(0)
