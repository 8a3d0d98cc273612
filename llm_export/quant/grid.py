"""Values that a kernel can hold, and a weight that has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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

    def rows(self, some: slice) -> Grid:
        offset = None if self.offset is None else self.offset[some]
        return Grid(self.q[some], self.scale[some], offset, self.spec)

    @staticmethod
    def joined(parts: Sequence[Grid]) -> Grid:
        """The grid of a weight from those of its blocks of rows."""
        if len(parts) == 1:
            return parts[0]
        offsets = [part.offset for part in parts if part.offset is not None]
        return Grid(
            torch.cat([part.q for part in parts]),
            torch.cat([part.scale for part in parts]),
            torch.cat(offsets) if offsets else None,
            parts[0].spec,
        )


_BLOCK = 1 << 18
"""Values of a block of rows: temporaries of this size stay in a core's cache, and the memory of
larger ones goes back to the system with each operation."""


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Rows of a matrix in turn, a few at a time."""
    step = max(1, _BLOCK // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def in_blocks(weight: Tensor, find: Callable[[Tensor], Grid | None]) -> Grid | None:
    """What ``find`` gives for all rows, asked block by block; None as soon as it is for one."""
    parts = []
    for rows in row_blocks(*weight.shape):
        part = find(weight[rows])
        if part is None:
            return None
        parts.append(part)
    return Grid.joined(parts)


def sqnr(weight: Tensor, values: Tensor | Grid) -> float:
    """Signal to quantization noise, in dB: 10 log10(|w|^2 / |w - values|^2)."""
    signal = noise = 0.0
    for rows in row_blocks(*weight.shape):
        one = weight[rows]
        other = values.rows(rows).values() if isinstance(values, Grid) else values[rows]
        signal += float(one.square().sum(dtype=torch.float64))
        noise += float((one - other).square().sum(dtype=torch.float64))
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)
