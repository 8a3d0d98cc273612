"""Group offsets as further columns of a symmetric weight.

A symmetric kernel computes sum_g s_g (q_g x_g). With an offset o_g for each group of n columns the
product also has o_g sum(x_g) = (o_g n / c) (c mean(x_g)): columns of the weight for inputs that are
group means. They are rounded to the kernel's own integers. Where the offsets were rounded so before
the weight was (``GridSpec.offset_columns``), the columns are exact, and the weight's own integers
make up for what rounding took. Where they are those of an earlier quantization, with integers that
stay, second columns hold what the first ones lost. A product beside the kernel would read four
bytes for each offset instead of a half or one.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_export.quant.grid import Grid
from llm_export.quant.mean_columns import (
    FINE,
    LIFT,
    SHARED_LIFT,
    Second,
    column_count,
    second_columns,
    shares_columns,
)
from llm_export.quant.second_columns import first_and_second, sums_of_means


def offset_copies(grid: Grid) -> int:
    """Copies of the columns that represent the offsets, where they are copies."""
    return 1 if grid.spec.offset_columns else 2


def seconds_of(grid: Grid) -> Tensor | float | None:
    """Inputs of the second columns as sums of group means, [columns, groups], or the factor with
    which they are those means; None where the columns are ``offset_copies`` of the means."""
    seconds = _seconds(grid)
    if seconds is None:
        return None
    groups, size = _layout(grid)
    return sums_of_means(seconds, groups) if shares_columns(groups, size) else 1 / FINE


def factor_of_means(grid: Grid) -> float:
    """What the group means are multiplied with."""
    return LIFT if _seconds(grid) is None else SHARED_LIFT


def with_offset_columns(grid: Grid) -> Grid:
    """A weight [N, K] with offsets as a symmetric one [N, K + C], where C is ``exact_count``, or
    ``column_count`` where the offsets were rounded before the weight."""
    assert grid.offset is not None
    groups, size = _layout(grid)
    spec = replace(grid.spec, group=size, zero_point=False, offset_columns=False)
    left = grid.offset * (size / factor_of_means(grid))
    seconds = _seconds(grid)
    parts = [grid]
    if seconds is not None:
        parts.append(first_and_second(left, seconds, spec))
    else:
        left = F.pad(left, (0, column_count(groups, size) - groups))
        for _ in range(offset_copies(grid)):
            parts.append(Grid.symmetric(left, spec))
            left = left - parts[-1].values()
    q, scale = torch.cat([p.q for p in parts], 1), torch.cat([p.scale for p in parts], 1)
    return Grid(q, scale, None, spec)


def _seconds(grid: Grid) -> list[Second] | None:
    groups, size = _layout(grid)
    seconds = None if grid.spec.offset_columns else second_columns(groups, size)
    if seconds is None or grid.order is None or not shares_columns(groups, size):
        return seconds
    order = grid.order.tolist()
    return [tuple((order[place], steps) for place, steps in served) for served in seconds]


def _layout(grid: Grid) -> tuple[int, int]:
    """Groups, and columns of each."""
    assert grid.offset is not None
    groups = grid.offset.shape[1]
    return groups, grid.q.shape[1] // groups
