"""Layout of the columns of a weight that hold its group offsets (``offset_columns``). Does not
import torch, because size predictions use it too.

The columns come in equal blocks of adjacent groups. One small product then makes the inputs of all
of them: a row for each block, with the same factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
"""Most groups of a row whose second columns are fine steps."""

_OUTPUTS = 16
"""Columns of a block: outputs of one tile of XNNPACK's product in float32, which the calling thread
computes alone. Waking the others takes longer."""

Second = tuple[tuple[int, int], ...]
"""Groups of a block that a second column serves, and their fine steps for one of the integer."""


@dataclass(frozen=True)
class Columns:
    """Further columns of a weight. Those of a block are one for each of its groups, then second
    ones, then zeros.

    Attributes:
        groups: of the weight.
        blocks: of equally many groups and columns.
        width: columns of one copy.
        copies: of these columns. The second holds what rounding took from the first.
        seconds: the second columns of a block, instead of a second copy.
    """

    groups: int
    blocks: int
    width: int
    copies: int = 1
    seconds: tuple[Second, ...] = ()

    @property
    def block_groups(self) -> int:
        return self.groups // self.blocks

    @property
    def block_width(self) -> int:
        return self.width // self.blocks

    @property
    def lift(self) -> float:
        """What the group means are multiplied with."""
        return SHARED_LIFT if self.seconds else LIFT

    @property
    def places(self) -> list[int]:
        """The column of each group, among those of one copy."""
        n, width = self.block_groups, self.block_width
        return [g // n * width + g % n for g in range(self.groups)]


def column_count(groups: int, group_size: int) -> int:
    """Columns of one copy: one per group, and zeros up to whole groups."""
    return -(-groups // group_size) * group_size


def exact_count(groups: int, group_size: int) -> int:
    """Columns of a weight that keeps the offsets of an earlier quantization: first and second
    columns, in whole groups."""
    both = 2 * column_count(groups, group_size)
    least = -(-(groups + math.ceil(_ALONE * groups)) // group_size) * group_size
    return both if groups > _WIDEST else least


def rounded_columns(groups: int, group_size: int) -> Columns:
    """For offsets that are rounded before the weight is."""
    width = column_count(groups, group_size)
    return Columns(groups, _blocks(groups, width), width)


def kept_columns(groups: int, group_size: int, order: Sequence[int] | None = None) -> Columns:
    """For the offsets of an earlier quantization.

    Args:
        order: the groups of a block, those first that share a column last; None: as they are.
    """
    width, one = exact_count(groups, group_size), column_count(groups, group_size)
    if width == 2 * one:
        return Columns(groups, _blocks(groups, one), one, copies=2)
    blocks = _blocks(groups, width)
    n, seconds = groups // blocks, (width - groups) // blocks
    order = range(n) if order is None else order
    alone = n - 2 * max(0, n - seconds)
    singles = [((order[i], 1),) for i in range(alone)]
    pairs = [((order[i], 1), (order[i + 1], COARSE)) for i in range(alone, n, 2)]
    return Columns(groups, blocks, width, seconds=(*singles, *pairs))


def shares_columns(groups: int, group_size: int) -> bool:
    """Whether second columns serve two groups each, so that it matters which."""
    seconds = kept_columns(groups, group_size).seconds
    return any(len(served) > 1 for served in seconds)


def _blocks(groups: int, width: int) -> int:
    """As few as leave ``_OUTPUTS`` columns in each, if groups and columns allow."""
    able = [n for n in range(1, groups + 1) if groups % n == 0 and width % n == 0]
    return next((n for n in able if width // n <= _OUTPUTS), able[-1])
