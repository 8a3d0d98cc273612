"""Tensors that a checkpoint stores as several: low-bit values and their scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from llm_export.checkpoints.base import TensorInfo


@dataclass(frozen=True)
class Packed:
    """A tensor and the stored tensors that it is computed from.

    Attributes:
        parts: names of the stored tensors, as ``unpack`` takes them.
        info: its unpacked shape and its stored type.
        unpack: the parts -> a floating tensor.
    """

    parts: tuple[str, ...]
    info: TensorInfo
    unpack: Callable[..., Tensor]


@dataclass(frozen=True)
class Contents:
    """The stored tensors that are not plain tensors of the model.

    Attributes:
        packed: name of the model's tensor -> its stored parts.
        dropped: names of tensors needed only by a runtime that quantizes activations.
    """

    packed: Mapping[str, Packed]
    dropped: frozenset[str] = field(default_factory=frozenset)
