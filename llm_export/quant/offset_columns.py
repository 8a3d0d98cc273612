"""Group offsets as further columns of a symmetric weight.

A symmetric kernel computes sum_g s_g (q_g x_g). With an offset o_g for each group of n columns the
product also has o_g sum(x_g) = (o_g n / c) (c mean(x_g)): columns of the weight for inputs that are
group means. They are rounded to the kernel's own integers; for most groups a second, fine column
holds what the first one lost. A product beside the kernel would read four bytes for each offset
instead of one.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_export.quant.grid import Grid, GridSpec
from llm_export.quant.mean_columns import FINE, LIFT, MeanColumns, mean_columns


def with_offset_columns(grid: Grid) -> Grid:
    """A weight [N, K] with offsets as a symmetric one [N, K + E], E = ``mean_columns().width``."""
    assert grid.offset is not None
    groups = grid.offset.shape[1]
    size = grid.q.shape[1] // groups
    spec = replace(grid.spec, group=size, zero_point=False)
    layout = mean_columns(groups, size)
    q, scale = _rounded(grid.offset * (size / LIFT), layout, spec)
    scales = scale.expand(-1, layout.width // size)
    return Grid(torch.cat([grid.q, q], 1), torch.cat([grid.scale, scales], 1), None, spec)


def mean_matrix(groups: int, size: int) -> Tensor:
    """[inputs, columns] of a part: the inputs that those columns multiply."""
    layout = mean_columns(groups, size)
    one = torch.eye(layout.coarse) * (LIFT / size)
    unused = torch.zeros(layout.inputs - layout.coarse - layout.fine, layout.coarse)
    rows = torch.cat([one, one[: layout.fine] / FINE, unused])
    return rows.repeat_interleave(size, 1)


def _rounded(values: Tensor, layout: MeanColumns, spec: GridSpec) -> tuple[Tensor, Tensor]:
    """Values [N, G] -> integers [N, E] and scales [N, 1].

    Groups without a fine column depend on the scale: among some that are a little above the
    smallest, each row takes the one that leaves the least error.
    """
    smallest = (values.abs().amax(1, keepdim=True) / spec.high).clamp(min=_SMALLEST)
    scale = smallest.to(spec.scale_dtype).float()
    q, error = _at(values, scale, layout, spec)
    for factor in _FACTORS if layout.fine < layout.coarse else ():
        other = (smallest * factor).to(spec.scale_dtype).float()
        found, left = _at(values, other, layout, spec)
        better = left < error
        q, scale = torch.where(better, found, q), torch.where(better, other, scale)
        error = torch.minimum(error, left)
    return q.to(torch.int8), scale


def _at(
    values: Tensor, scale: Tensor, layout: MeanColumns, spec: GridSpec
) -> tuple[Tensor, Tensor]:
    """Integers [N, E] for scales [N, 1], and the squared error of each row [N, 1]."""
    steps = (values / scale).unflatten(1, (layout.parts, layout.coarse))
    coarse = torch.round(steps).clamp(spec.low, spec.high)
    left = steps - coarse
    fine = torch.round(left[..., : layout.fine] * FINE).clamp(spec.low, spec.high)
    left[..., : layout.fine] -= fine / FINE
    unused = layout.inputs - layout.coarse - layout.fine
    q = F.pad(torch.cat([coarse, fine], -1), (0, unused)).flatten(1)
    return q, left.square().sum((1, 2)).unsqueeze(1) * scale.square()


_SMALLEST = 1e-12
"""Of a scale, where all values are zero."""

_FACTORS = tuple(1 + i / 50 for i in range(1, 13))
"""Of the smallest scale, to choose from."""
