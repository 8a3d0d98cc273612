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

from llm_export.quant.grid import Grid
from llm_export.quant.mean_columns import FINE, Columns, kept_columns, rounded_columns
from llm_export.quant.second_columns import first_and_second


def columns_of(grid: Grid) -> Columns:
    """The further columns that represent the offsets of a weight."""
    groups, size = _layout(grid)
    if grid.spec.offset_columns:
        return rounded_columns(groups, size)
    order = None if grid.order is None else grid.order.tolist()
    return kept_columns(groups, size, order)


def inputs_of(columns: Columns, size: int) -> Tensor:
    """The inputs of a block's columns as sums of the inputs of its groups of ``size``,
    [block_width, block_groups * size]."""
    n = columns.block_groups
    means = torch.zeros(columns.block_width, n)
    means[:n] = torch.eye(n)
    for column, served in enumerate(columns.seconds, n):
        for group, steps in served:
            means[column, group] = steps / FINE
    return means.repeat_interleave(size, 1) * (columns.lift / size)


def with_offset_columns(grid: Grid) -> Grid:
    """A weight [N, K] with offsets as a symmetric one [N, K + C], where C is ``width`` times
    ``copies`` of its columns (``columns_of``)."""
    assert grid.offset is not None
    columns, (_, size) = columns_of(grid), _layout(grid)
    spec = replace(grid.spec, group=size, zero_point=False, offset_columns=False)
    offset = grid.offset * (size / columns.lift)
    parts = [grid]
    if columns.seconds:
        parts.append(first_and_second(offset, columns, spec))
    else:
        left = torch.zeros(len(offset), columns.width)
        left[:, columns.places] = offset
        for _ in range(columns.copies):
            parts.append(Grid.symmetric(left, spec))
            left = left - parts[-1].values()
    q, scale = torch.cat([p.q for p in parts], 1), torch.cat([p.scale for p in parts], 1)
    return Grid(q, scale, None, spec)


def _layout(grid: Grid) -> tuple[int, int]:
    """Groups, and columns of each."""
    assert grid.offset is not None
    groups = grid.offset.shape[1]
    return groups, grid.q.shape[1] // groups
