"""Positions of patches in a grid: blocks of merged patches, resampled tables, and axial RoPE."""

from __future__ import annotations

import torch
from torch import Tensor


def in_blocks(x: Tensor, merge: int) -> Tensor:
    """[rows, columns, ...] -> [rows * columns, ...], ordered by square blocks of ``merge`` patches
    a side and row by row in each, so that a block's patches are neighbours.
    """
    rows, columns = x.shape[:2]
    blocks = x.reshape(rows // merge, merge, columns // merge, merge, *x.shape[2:])
    return blocks.transpose(1, 2).reshape(rows * columns, *x.shape[2:])


def resampled(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """A square table of learned positions [side * side, C], bilinearly resampled with aligned
    corners: [rows, columns, C].
    """
    side = round(table.shape[0] ** 0.5)
    square = table.float().view(side, side, -1)
    for axis, size in enumerate(grid):
        at = torch.arange(size, dtype=torch.float32, device="cpu") * (side - 1) / max(size - 1, 1)
        low = at.floor().long()
        high = (low + 1).clamp(max=side - 1)
        share = (at - low).view(-1, 1, 1) if axis == 0 else (at - low).view(1, -1, 1)
        taps = (square.index_select(axis, tap) for tap in (low, high))
        below, above = taps
        square = below * (1 - share) + above * share
    return square


def axial_rotation(
    grid: tuple[int, int], head_dim: int, theta: float, merge: int
) -> tuple[Tensor, Tensor]:
    """(cos, sin) of patches in the order of ``in_blocks``, each [1, N, 1, E], for ``rope.rotate``:
    half of the frequencies turn by the row, the others by the column.
    """
    half = head_dim // 2
    exponent = torch.arange(0, half, 2, dtype=torch.float32, device="cpu") / half
    inv_freq = 1.0 / theta**exponent
    axes = (torch.arange(size, dtype=torch.float32, device="cpu") for size in grid)
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # [rows, columns, 2]
    angles = (in_blocks(places, merge)[:, :, None] * inv_freq).flatten(1)
    angles = torch.cat((angles, angles), dim=-1)[None, :, None]
    sin = angles.sin()
    sin[..., :half] *= -1  # the sign of rotate's first half
    return angles.cos(), sin
