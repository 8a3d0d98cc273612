"""Group offsets as further columns of a symmetric weight.

A symmetric kernel computes sum_g s_g (q_g x_g). With an offset o_g for each group of n columns the
product also has o_g sum(x_g) = (o_g n / c) (c mean(x_g)): columns of the weight for inputs that are
group means. They are rounded to the kernel's own integers, twice: the second copy holds what the
first one lost. A product beside the kernel would read four bytes for each offset instead of one.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_export.quant.grid import Grid, GridSpec
from llm_export.quant.mean_columns import COPIES, LIFT, column_count


def with_offset_columns(grid: Grid) -> Grid:
    """A weight [N, K] with offsets as a symmetric one [N, K + 2 E], E = ``column_count``."""
    assert grid.offset is not None
    groups = grid.offset.shape[1]
    size = grid.q.shape[1] // groups
    spec = replace(grid.spec, group=size, zero_point=False)
    left = F.pad(grid.offset * (size / LIFT), (0, column_count(groups, size) - groups))
    q, scale = [grid.q], [grid.scale]
    for _ in range(COPIES):
        part = _rounded(left, spec)
        left = left - part.values()
        q.append(part.q)
        scale.append(part.scale)
    return Grid(torch.cat(q, 1), torch.cat(scale, 1), None, spec)


def _rounded(values: Tensor, spec: GridSpec) -> Grid:
    largest = spec.grouped(values).abs().amax(-1)
    return Grid.rounded(values, (largest / spec.high).clamp(min=_SMALLEST), None, spec)


_SMALLEST = 1e-12
"""Of a scale, where all values are zero."""
