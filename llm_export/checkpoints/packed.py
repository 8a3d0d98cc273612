"""Tensors that a checkpoint stores as several: values of few bits, and their scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from llm_export.checkpoints.base import TensorInfo


@dataclass(frozen=True)
class Packed:
    """One tensor, and what it is made of.

    Attributes:
        parts: names of the stored tensors, as ``unpack`` takes them.
        info: its shape when unpacked, and the type that it is stored as.
        unpack: the parts -> a floating tensor.
    """

    parts: tuple[str, ...]
    info: TensorInfo
    unpack: Callable[..., Tensor]


@dataclass(frozen=True)
class Contents:
    """What the stored tensors are, where they are not tensors of the model as they stand.

    Attributes:
        packed: the name that the model knows -> what makes it up.
        dropped: names that serve only a runtime that quantizes activations.
    """

    packed: Mapping[str, Packed]
    dropped: frozenset[str] = field(default_factory=frozenset)
