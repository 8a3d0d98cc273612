"""Values that a kernel can hold, and a weight that has them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GridSpec:
    """A grid of evenly spaced values for each group of a row.

    Attributes:
        bits: of the signed integers, -2^(bits-1) to 2^(bits-1) - 1.
        group: columns that share a scale; None is the whole row.
        zero_point: each group has an offset beside its scale.
        scale_dtype: what the kernel keeps scales in; rounding them here makes the eager model
            the one that runs.
    """

    bits: int
    group: int | None
    zero_point: bool = False
    scale_dtype: torch.dtype = torch.float32

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def grouped(self, weight: Tensor) -> Tensor:
        """[N, K] -> [N, G, K / G]."""
        return weight.reshape(weight.shape[0], -1, self.group or weight.shape[1])


@dataclass(frozen=True)
class Grid:
    """A weight [N, K] as ``scale * q + offset``.

    Attributes:
        q: int8 [N, K], within the bits of the spec.
        scale: float32 [N, G], representable in ``spec.scale_dtype``.
        offset: float32 [N, G], in units of the weight; None if the spec has no zero point.
    """

    q: Tensor
    scale: Tensor
    offset: Tensor | None
    spec: GridSpec

    @staticmethod
    def rounded(weight: Tensor, scale: Tensor, offset: Tensor | None, spec: GridSpec) -> Grid:
        """The nearest values of the grid that has these scales and offsets [N, G]."""
        scale = scale.to(spec.scale_dtype).to(torch.float32)
        groups = spec.grouped(weight)
        shifted = groups if offset is None else groups - offset.unsqueeze(-1)
        q = torch.round(shifted / scale.unsqueeze(-1)).clamp(spec.low, spec.high)
        return Grid(q.to(torch.int8).reshape(weight.shape), scale, offset, spec)

    def values(self) -> Tensor:
        """float32 [N, K]."""
        x = self.spec.grouped(self.q.to(torch.float32)) * self.scale.unsqueeze(-1)
        if self.offset is not None:
            x = x + self.offset.unsqueeze(-1)
        return x.reshape(self.q.shape)


def sqnr(weight: Tensor, values: Tensor) -> float:
    """Signal to quantization noise, in dB: 10 log10(|w|^2 / |w - values|^2)."""
    noise = float((weight - values).double().square().sum())
    return (
        math.inf if noise == 0 else 10 * math.log10(float(weight.double().square().sum()) / noise)
    )
