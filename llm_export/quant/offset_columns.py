"""Group offsets as further columns of a symmetric weight.

A symmetric kernel computes sum_g s_g (q_g x_g). With an offset o_g for each group of n columns the
product also has o_g sum(x_g) = (o_g n / c) (c mean(x_g)): columns of the weight for inputs that are
group means. They are rounded to the kernel's own integers. Where the offsets were rounded so before
the weight was (``GridSpec.offset_columns``), the columns are exact, and the weight's own integers
make up for what rounding took. Where they are those of an earlier quantization, with integers that
stay, a second copy holds what the first one lost. A product beside the kernel would read four bytes
for each offset instead of a half or one.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional as F

from llm_export.quant.grid import Grid
from llm_export.quant.mean_columns import EXACT_COPIES, LIFT, column_count


def offset_copies(grid: Grid) -> int:
    """Copies of the columns that represent the offsets."""
    return 1 if grid.spec.offset_columns else EXACT_COPIES


def with_offset_columns(grid: Grid) -> Grid:
    """A weight [N, K] with offsets as a symmetric one [N, K + C E], C = ``offset_copies``, E =
    ``column_count``."""
    assert grid.offset is not None
    groups = grid.offset.shape[1]
    size = grid.q.shape[1] // groups
    spec = replace(grid.spec, group=size, zero_point=False, offset_columns=False)
    left = F.pad(grid.offset * (size / LIFT), (0, column_count(groups, size) - groups))
    q, scale = [grid.q], [grid.scale]
    for _ in range(offset_copies(grid)):
        part = Grid.symmetric(left, spec)
        left = left - part.values()
        q.append(part.q)
        scale.append(part.scale)
    return Grid(torch.cat(q, 1), torch.cat(scale, 1), None, spec)
