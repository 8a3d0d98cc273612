"""Weights of depthwise causal convolutions: checkpoints store [C, 1, k], the decoder [k, C]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export.models.families.keymap import Shape, Split

if TYPE_CHECKING:
    from torch import Tensor


def taps(source: str, target: str) -> Split:
    """The name of a convolution's weight in a checkpoint, and in the decoder."""
    return Split(source, (target,), _to_taps, _from_taps)


def flat_taps(source: str, target: str) -> Split:
    """The same for formats that drop the dimension of size 1: [C, k]."""
    return Split(source, (target,), _to_taps, lambda tensors: tensors[0].t().contiguous())


def _to_taps(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    return [tensor.reshape(tensor.shape[0], -1).t().contiguous()]


def _from_taps(tensors: list[Tensor]) -> Tensor:
    return tensors[0].t().contiguous().unsqueeze(1)
