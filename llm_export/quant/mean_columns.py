"""Layout of the columns of a weight that hold its group offsets (``offset_columns``). Does not
import torch, because size predictions use it too."""

from __future__ import annotations

EXACT_COPIES = 2
"""Copies of the columns of a weight that keeps the offsets of an earlier quantization. The second
holds what rounding took from the first: two of 4-bit integers leave an error of about 1/28 of one
integer's step, at one byte per offset."""

LIFT = 8.0
"""Factor on the group means. Inputs share one scale, and the mean of 32 independent values is 6
times smaller than one of them; with a larger factor the means would often set the scale."""


def column_count(groups: int, group_size: int) -> int:
    """Columns of one copy: one per group, and zeros up to whole groups."""
    return -(-groups // group_size) * group_size
