"""Min-max: scales from the largest and least value of each group, round to nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llm_export.config.quant_schema import RoundingConfig
from llm_export.quant.grid import Grid, GridSpec, in_blocks
from llm_export.quant.rounding.base import Needs

_FARTHEST = 256
"""Steps from zero to the farthest value of a group with a zero point, at most about."""


@dataclass(frozen=True)
class MinMax:
    needs: Needs = Needs.nothing
    costly: bool = False

    def configured(self, settings: RoundingConfig) -> MinMax:
        return self

    def round(self, weight: Tensor, spec: GridSpec, inputs: Tensor | None = None) -> Grid:
        grid = in_blocks(weight, lambda rows: Grid.rounded(rows, *ranges(rows, spec), spec))
        assert grid is not None
        return grid


ROUNDER = MinMax()


def ranges(weight: Tensor, spec: GridSpec) -> tuple[Tensor, Tensor | None]:
    """Scales and offsets [N, G] by min-max.

    Symmetric ranges are torchao's: the largest magnitude is half a step beyond the positive end,
    so that both ends have equal error.
    """
    groups = spec.grouped(weight)
    if not spec.zero_point:
        return _positive(groups.abs().amax(-1) / ((spec.high - spec.low) / 2)), None
    low, high = groups.amin(-1), groups.amax(-1)
    # Rounded before the offset is computed, so that the least value is represented exactly.
    # Zero points stay small enough for half precision, also those of constant groups.
    span = torch.maximum((high - low) / (spec.high - spec.low), groups.abs().amax(-1) / _FARTHEST)
    scale = _positive(span).to(spec.scale_dtype).float()
    offset = low - scale * spec.low
    if spec.offset_columns:
        offset = spec.kept_offset(offset, weight.shape[1])
        wanted = torch.maximum((high - offset) / spec.high, (low - offset) / spec.low)
        scale = torch.maximum(scale, wanted)
    return scale, offset


def _positive(scale: Tensor) -> Tensor:
    return scale.clamp(min=torch.finfo(torch.float32).eps)
