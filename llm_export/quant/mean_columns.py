"""Layout of the columns of a weight that hold its group offsets (``offset_columns``). Does not
import torch, because size predictions use it too."""

from __future__ import annotations

import math

LIFT = 8.0
"""Factor on the group means. Inputs share one scale, and the mean of 32 independent values is 6
times smaller than one of them; with a larger factor the means would often set the scale."""

SHARED_LIFT = 16.0
"""The same where second columns are fine steps of first ones: all of a row have one scale, so that
what rounding takes from an input weighs as much in both."""

FINE = 16
"""Steps of a second column for one of a first: the number of a 4-bit integer's values."""

COARSE = 4
"""Of these steps for the second group of two that share a column: the square root of ``FINE``, with
which the integers c are 16 points (c, COARSE c) spread evenly over a square of ``FINE`` a side."""

_ALONE = 0.75
"""Least second columns per group. With fewer, more than half of the groups would share one."""

_WIDEST = 64
"""Most groups of a row whose second columns are fine steps: a float32 product [columns, groups]
makes their inputs."""

Second = tuple[tuple[int, int], ...]
"""Groups that a second column serves, each with its fine steps for one of the integer."""


def column_count(groups: int, group_size: int) -> int:
    """Columns of one copy: one per group, and zeros up to whole groups."""
    return -(-groups // group_size) * group_size


def exact_count(groups: int, group_size: int) -> int:
    """Columns of a weight that keeps the offsets of an earlier quantization: first and second
    columns, in whole groups."""
    both = 2 * column_count(groups, group_size)
    least = -(-(groups + math.ceil(_ALONE * groups)) // group_size) * group_size
    return both if groups > _WIDEST else least


def second_columns(groups: int, group_size: int) -> list[Second] | None:
    """The second columns, behind ``groups`` first ones: each holds what rounding took from a first
    column, or from two where there are not enough. None where they are a second copy instead."""
    width = exact_count(groups, group_size)
    if width == 2 * column_count(groups, group_size):
        return None
    alone = groups - 2 * max(0, 2 * groups - width)
    pairs = range(alone, groups, 2)
    return [((g, 1),) for g in range(alone)] + [((g, 1), (g + 1, COARSE)) for g in pairs]


def shares_columns(groups: int, group_size: int) -> bool:
    """Whether second columns serve two groups each, so that it matters which."""
    seconds = second_columns(groups, group_size)
    return seconds is not None and len(seconds) < groups
