"""HQQ: scales and offsets that minimize the weight error, without calibration data.

Half-quadratic quantization (https://mobiusml.github.io/hqq_blog) alternates between rounding and
the best scale s and offset z for the rounded values. The steps are torchao's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llm_export.compat.torchao_primitives import hqq_scale, hqq_scale_and_offset
from llm_export.config.quant_schema import RoundingConfig
from llm_export.quant.grid import Grid, GridSpec
from llm_export.quant.rounding.base import Needs
from llm_export.quant.rounding.minmax import ranges

_ROWS = 1 << 22
"""Number of values of a weight that are processed at once."""


@dataclass(frozen=True)
class HQQ:
    needs: Needs = Needs.nothing
    costly: bool = True

    def configured(self, settings: RoundingConfig) -> HQQ:
        return self

    def round(self, weight: Tensor, spec: GridSpec, inputs: Tensor | None = None) -> Grid:
        """The better of torchao's HQQ and min-max per group, or per row where offsets are columns,
        by squared error after scales are rounded to the kernel's dtype.
        """
        parts = [_round(rows, spec) for rows in weight.split(max(1, _ROWS // weight.shape[1]))]
        offsets = [p.offset for p in parts if p.offset is not None]
        return Grid(
            torch.cat([p.q for p in parts]),
            torch.cat([p.scale for p in parts]),
            torch.cat(offsets) if offsets else None,
            spec,
        )


ROUNDER = HQQ()


def _round(weight: Tensor, spec: GridSpec) -> Grid:
    plain = Grid.rounded(weight, *ranges(weight, spec), spec)
    optimized = _affine(weight, spec) if spec.zero_point else _symmetric(weight, spec)
    mine, theirs = _errors(weight, optimized), _errors(weight, plain)
    if spec.offset_columns:  # groups of a row share the scales of their offsets
        mine, theirs = (each.sum(-1, keepdim=True).expand_as(each) for each in (mine, theirs))
    better = (mine < theirs).unsqueeze(-1)
    q = torch.where(better, spec.grouped(optimized.q), spec.grouped(plain.q))
    better = better.squeeze(-1)
    offset = None
    if plain.offset is not None and optimized.offset is not None:
        offset = torch.where(better, optimized.offset, plain.offset)
    scale = torch.where(better, optimized.scale, plain.scale)
    return Grid(q.reshape(weight.shape), scale, offset, spec)


def _symmetric(weight: Tensor, spec: GridSpec) -> Grid:
    scale = hqq_scale(weight, spec.group or weight.shape[1], spec.low, spec.high)
    return Grid.rounded(weight, scale, None, spec)


def _affine(weight: Tensor, spec: GridSpec) -> Grid:
    """torchao's form: q from 0, w = (q - 2^(bits-1)) * scale + zero."""
    group = spec.group or weight.shape[1]
    scale, zero = hqq_scale_and_offset(weight, spec.bits, group)
    shape = (weight.shape[0], weight.shape[1] // group)
    # Rounding the scale requires a new offset: the mean of the residual.
    scale = scale.clone().reshape(shape).to(spec.scale_dtype).float()
    rounded = Grid.rounded(weight, scale, zero.clone().reshape(shape), spec)
    left = spec.grouped(weight) - spec.grouped(rounded.q.float()) * scale.unsqueeze(-1)
    return Grid.rounded(weight, scale, left.mean(-1), spec)


def _errors(weight: Tensor, grid: Grid) -> Tensor:
    """[N, G]."""
    return grid.spec.grouped(weight - grid.values()).square().sum(-1)
