"""Scales and offsets of groups with the least squared error, weighted by what is multiplied.

For each group of a row the search tries min-max scales times several factors, rounds, and solves
for the scale (and offset) that fits these integers best. The weight of a column is the mean square
of its input, as in llama.cpp's importance matrix: the error of the product is the sum of
(error of the weight)^2 (mean square of the input) if inputs are uncorrelated.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from llm_export.quant.grid import Grid, GridSpec, in_blocks
from llm_export.quant.rounding.minmax import ranges

_FACTORS = tuple(0.6 + 0.5 * i / 24 for i in range(25))
"""Of the min-max scale. Above 1 they pay if the fitted integers leave the largest level unused."""


def best_grid(weight: Tensor, spec: GridSpec, importance: Tensor | None = None) -> Grid:
    """Round to the scales that ``best_ranges`` finds.

    Args:
        weight: float32 [N, K].
        importance: of each column [K], positive; None: all count the same.
    """
    each = torch.ones(weight.shape[1]) if importance is None else importance
    grid = in_blocks(weight, lambda rows: Grid.rounded(rows, *_search(rows, spec, each), spec))
    assert grid is not None
    return grid


def best_ranges(weight: Tensor, spec: GridSpec, importance: Tensor) -> tuple[Tensor, Tensor | None]:
    """Scales and offsets [N, G]; see ``best_grid``."""
    grid = best_grid(weight, spec, importance)
    return grid.scale, grid.offset


def damped(squares: Tensor, damping: float) -> Tensor:
    """Mean squares of inputs, with a part of their mean for channels that few tokens use."""
    mean = squares[squares > 0].mean() if bool((squares > 0).any()) else squares.new_ones(())
    return squares + damping * mean


def _search(weight: Tensor, spec: GridSpec, importance: Tensor) -> tuple[Tensor, Tensor | None]:
    groups = spec.grouped(weight)
    each = importance.reshape(1, -1, groups.shape[-1])
    scale, offset = ranges(weight, spec)
    scale = scale.to(spec.scale_dtype).float()
    least = _error(groups, each, scale, offset, spec)
    start, middle = scale, (groups.amin(-1) + groups.amax(-1)) / 2
    for factor in _FACTORS:
        tried = start * factor
        shift = None if offset is None else middle - tried * (spec.low + spec.high) / 2
        tried, shift = _fitted(groups, each, tried, shift, spec)
        error = _error(groups, each, tried, shift, spec)
        better = error < least
        least = torch.where(better, error, least)
        scale = torch.where(better, tried, scale)
        if offset is not None and shift is not None:
            offset = torch.where(better, shift, offset)
    if offset is None or not spec.offset_columns:
        return scale, offset
    offset = spec.kept_offset(offset, weight.shape[1])
    return _at_offset(groups, each, scale, offset, spec), offset


def _at_offset(
    groups: Tensor, each: Tensor, start: Tensor, offset: Tensor, spec: GridSpec
) -> Tensor:
    """The scales with the least error for given offsets, from ``start`` on."""
    plain = replace(spec, zero_point=False)
    shifted = groups - offset.unsqueeze(-1)
    scale, least = start, _error(shifted, each, start, None, plain)
    for factor in _FACTORS:
        tried, _ = _fitted(shifted, each, start * factor, None, plain)
        error = _error(shifted, each, tried, None, plain)
        scale = torch.where(error < least, tried, scale)
        least = torch.minimum(error, least)
    return scale


def _levels(groups: Tensor, scale: Tensor, offset: Tensor | None, spec: GridSpec) -> Tensor:
    wanted = groups if offset is None else groups - offset.unsqueeze(-1)
    return torch.round(wanted / scale.unsqueeze(-1)).clamp_(spec.low, spec.high)


def _fitted(
    groups: Tensor, each: Tensor, scale: Tensor, offset: Tensor | None, spec: GridSpec
) -> tuple[Tensor, Tensor | None]:
    """The least-squares scale and offset for the integers that the given ones round to."""
    q = _levels(groups, scale, offset, spec)
    if offset is None:
        found = (each * q * groups).sum(-1) / (each * q * q).sum(-1)
        return _kept(found, scale, spec), None
    total = each.sum(-1)
    mean_q, mean = (each * q).sum(-1) / total, (each * groups).sum(-1) / total
    apart = q - mean_q.unsqueeze(-1)
    found = (each * apart * groups).sum(-1) / (each * apart * apart).sum(-1)
    scale = _kept(found, scale, spec)
    return scale, mean - scale * mean_q


def _kept(found: Tensor, former: Tensor, spec: GridSpec) -> Tensor:
    """The scales found, in the kernel's dtype, where they are usable; else the former ones."""
    usable = torch.isfinite(found) & (found > former / 4)
    return torch.where(usable, found, former).to(spec.scale_dtype).float()


def _error(
    groups: Tensor, each: Tensor, scale: Tensor, offset: Tensor | None, spec: GridSpec
) -> Tensor:
    values = _levels(groups, scale, offset, spec) * scale.unsqueeze(-1)
    if offset is not None:
        values = values + offset.unsqueeze(-1)
    return (each * (groups - values).square()).sum(-1)
