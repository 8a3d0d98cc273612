"""Offsets as first and second columns of 4-bit integers. A second column may serve two groups.

An integer of a second column stands for fine steps of its groups' offsets. With c of 16 values, two
groups get the 16 points (c, 4 c) modulo a first column's step: a rank-1 lattice, spread evenly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_export.quant.grid import SMALLEST, Grid, GridSpec
from llm_export.quant.mean_columns import FINE, Columns

_LARGEST = (7.0, 7.5, 6.5, 6.0)
"""First steps of a row's largest offset that are tried: two that share a column reach less far."""


def first_and_second(offset: Tensor, columns: Columns, spec: GridSpec) -> Grid:
    """Columns for offsets [N, G] with one scale for each row, that with the least squared error."""
    assert spec.group is not None
    largest = offset.abs().amax(1, keepdim=True)
    tried = []
    for steps in _LARGEST:
        scale = (largest / steps).clamp(min=SMALLEST).to(spec.scale_dtype).to(torch.float32)
        q, error = _rounded(offset / scale, columns, spec)
        tried.append((q, scale, error * scale.square()))
    qs, scales, errors = map(torch.stack, zip(*tried, strict=True))
    best = errors.squeeze(-1).argmin(0)
    q, scale = (found[best, torch.arange(len(offset))] for found in (qs, scales))
    return Grid(q, scale.repeat(1, columns.width // spec.group), None, spec)


def _rounded(offset: Tensor, columns: Columns, spec: GridSpec) -> tuple[Tensor, Tensor]:
    """Integers [N, width] for offsets in first steps, and the squared error of each row [N, 1]."""
    rows, n = len(offset), columns.block_groups
    blocks = offset.unflatten(1, (columns.blocks, n))
    q = torch.zeros(rows, columns.blocks, columns.block_width, dtype=torch.int8)
    error = torch.zeros(rows, 1)
    for served in sorted({len(each) for each in columns.seconds}):
        own = [i for i, each in enumerate(columns.seconds) if len(each) == served]
        members = torch.tensor([[group for group, _ in columns.seconds[i]] for i in own])
        fine = torch.tensor([steps for _, steps in columns.seconds[own[0]]]) / FINE
        first, second, lost = _nearest(blocks[:, :, members], fine, spec)
        q[:, :, members.flatten()] = first.flatten(2)
        q[:, :, [n + i for i in own]] = second
        error += lost.sum((1, 2)).unsqueeze(1)
    return F.pad(q.flatten(1), (0, columns.zeros)), error


def _nearest(wanted: Tensor, fine: Tensor, spec: GridSpec) -> tuple[Tensor, Tensor, Tensor]:
    """Of offsets [..., C, S] that share C columns, the integers of first [..., C, S] and second
    columns [..., C], and the squared errors [..., C], by trying every integer of a second column.
    """
    first = torch.zeros_like(wanted, dtype=torch.int8)
    second = torch.zeros(wanted.shape[:-1], dtype=torch.int8)
    least = torch.full(wanted.shape[:-1], torch.inf)
    for c in range(spec.low, spec.high + 1):
        left = wanted - c * fine
        q = left.round().clamp(spec.low, spec.high)
        error = (left - q).square().sum(-1)
        better = error < least
        first = torch.where(better.unsqueeze(-1), q.to(torch.int8), first)
        second = torch.where(better, c, second).to(torch.int8)
        least = torch.where(better, error, least)
    return first, second, least
