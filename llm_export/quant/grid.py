"""Quantized weights, and the values that a kernel can represent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from llm_export.memory import memory_mapped
from llm_export.quant.blocks import each_block
from llm_export.quant.mean_columns import rounded_columns

SMALLEST = 1e-12
"""Of a scale, where all values are zero."""


@dataclass(frozen=True)
class GridSpec:
    """Quantization parameters of a weight: evenly spaced values for each group of a row.

    Attributes:
        bits: of the signed integers, -2^(bits-1) to 2^(bits-1) - 1.
        group: columns that share a scale; None is the whole row.
        zero_point: whether each group has an offset as well as a scale.
        scale_dtype: dtype of the kernel's scales; rounding them here makes the eager model
            equal to the program.
        offset_columns: offsets are rounded as one copy of further columns of the weight
            (``offset_columns``) represents them, before the weight is.
    """

    bits: int
    group: int | None
    zero_point: bool = False
    scale_dtype: torch.dtype = torch.float32
    offset_columns: bool = False

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def grouped(self, weight: Tensor) -> Tensor:
        """[N, K] -> [N, G, K / G]."""
        return weight.reshape(weight.shape[0], -1, self.group or weight.shape[1])

    def kept_offset(self, offset: Tensor, inputs: int) -> Tensor:
        """The nearest offsets [N, G] that are represented, of a weight with ``inputs`` columns."""
        if not self.offset_columns:
            return offset
        size, groups = self.group or inputs, offset.shape[1]
        columns = rounded_columns(groups, size)
        values = torch.zeros(len(offset), columns.width)
        values[:, columns.places] = offset * (size / columns.lift)
        return Grid.symmetric(values, self).values()[:, columns.places] * (columns.lift / size)


@dataclass(frozen=True)
class Grid:
    """A quantized weight [N, K]: ``scale * q + offset``.

    Attributes:
        q: int8 [N, K], within the bit range of the spec.
        scale: float32 [N, G], representable in ``spec.scale_dtype``.
        offset: float32 [N, G], in units of the weight; None if the spec has no zero point.
        order: the groups of a block of ``mean_columns``, those first whose offsets matter most;
            None where that is unknown.
    """

    q: Tensor
    scale: Tensor
    offset: Tensor | None
    spec: GridSpec
    order: Tensor | None = None

    @staticmethod
    def rounded(weight: Tensor, scale: Tensor, offset: Tensor | None, spec: GridSpec) -> Grid:
        """Round to the nearest values, given scales and offsets [N, G]."""
        scale = scale.to(spec.scale_dtype).to(torch.float32)
        groups = spec.grouped(weight)
        if offset is not None:
            offset = spec.kept_offset(offset, weight.shape[1])
        shifted = groups if offset is None else groups - offset.unsqueeze(-1)
        q = torch.round(shifted / scale.unsqueeze(-1)).clamp(spec.low, spec.high)
        return Grid(q.to(torch.int8).reshape(weight.shape), scale, offset, spec)

    @staticmethod
    def symmetric(values: Tensor, spec: GridSpec) -> Grid:
        """Round [N, K], K a multiple of the group size, to scales that represent the largest
        magnitude of each group."""
        plain = replace(spec, zero_point=False, offset_columns=False)
        largest = plain.grouped(values).abs().amax(-1)
        return Grid.rounded(values, (largest / spec.high).clamp(min=SMALLEST), None, plain)

    def values(self) -> Tensor:
        """The dequantized weight, float32 [N, K]."""
        x = self.spec.grouped(self.q.to(torch.float32)) * self.scale.unsqueeze(-1)
        if self.offset is not None:
            x = x + self.offset.unsqueeze(-1)
        return x.reshape(self.q.shape)

    def rows(self, some: slice) -> Grid:
        offset = None if self.offset is None else self.offset[some]
        return replace(self, q=self.q[some], scale=self.scale[some], offset=offset)

    def memory_mapped(self) -> Grid:
        """The same in memory-mapped files, which the OS can write out, if the model is large."""
        offset = None if self.offset is None else memory_mapped(self.offset)
        q, scale = memory_mapped(self.q), memory_mapped(self.scale)
        return replace(self, q=q, scale=scale, offset=offset)

    @staticmethod
    def joined(parts: Sequence[Grid]) -> Grid:
        """Concatenate the quantized weights of blocks of rows."""
        if len(parts) == 1:
            return parts[0]
        offsets = [part.offset for part in parts if part.offset is not None]
        return Grid(
            torch.cat([part.q for part in parts]),
            torch.cat([part.scale for part in parts]),
            torch.cat(offsets) if offsets else None,
            parts[0].spec,
        )


def in_blocks(weight: Tensor, find: Callable[[Tensor], Grid | None]) -> Grid | None:
    """Apply ``find`` block by block; None if it is None for any block."""
    parts = each_block(weight, lambda rows: find(weight[rows]))
    return None if parts is None else Grid.joined(parts)


def sqnr(weight: Tensor, values: Tensor | Grid) -> float:
    """Signal to quantization noise, in dB: 10 log10(|w|^2 / |w - values|^2)."""

    def energies(rows: slice) -> tuple[float, float]:
        one = weight[rows]
        other = values.rows(rows).values() if isinstance(values, Grid) else values[rows]
        return _energy(one), _energy(one - other)

    parts = each_block(weight, energies)
    assert parts is not None
    signal, noise = (sum(column) for column in zip(*parts, strict=True))
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)


def _energy(values: Tensor) -> float:
    return float(values.square().sum(dtype=torch.float64))
