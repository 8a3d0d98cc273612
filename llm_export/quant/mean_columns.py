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
    ones. Zeros up to ``width`` follow them in each block if that comes out even, else the last one.

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
        even = self.width // self.blocks if self.width % self.blocks == 0 else _OUTPUTS + 1
        return even if even <= _OUTPUTS else self.block_groups + len(self.seconds)

    @property
    def zeros(self) -> int:
        """Columns behind the last block."""
        return self.width - self.blocks * self.block_width

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
    if _with_seconds(groups, group_size) is None:
        return 2 * column_count(groups, group_size)
    return _least_count(groups, group_size)


def rounded_columns(groups: int, group_size: int, copies: int = 1) -> Columns:
    """For offsets that are rounded before the weight is, or for copies of what is left of them."""
    width = column_count(groups, group_size)
    able = [n for n in _divisors(groups) if groups // n <= _OUTPUTS]
    even = (n for n in able if width % n == 0 and width // n <= _OUTPUTS)
    return Columns(groups, next(even, able[0]), width, copies)


def kept_columns(groups: int, group_size: int, order: Sequence[int] | None = None) -> Columns:
    """For the offsets of an earlier quantization.

    Args:
        order: the groups of a block, those first that share a column last; None: as they are.
    """
    found = _with_seconds(groups, group_size)
    if found is None:
        return rounded_columns(groups, group_size, copies=2)
    blocks, seconds = found
    n = groups // blocks
    order = range(n) if order is None else order
    alone = n - 2 * (n - seconds)
    singles = [((order[i], 1),) for i in range(alone)]
    pairs = [((order[i], 1), (order[i + 1], COARSE)) for i in range(alone, n, 2)]
    width = _least_count(groups, group_size)
    return Columns(groups, blocks, width, seconds=(*singles, *pairs))


def shares_columns(groups: int, group_size: int) -> bool:
    """Whether second columns serve two groups each, so that it matters which."""
    seconds = kept_columns(groups, group_size).seconds
    return any(len(served) > 1 for served in seconds)


def _least_count(groups: int, group_size: int) -> int:
    return -(-(groups + math.ceil(_ALONE * groups)) // group_size) * group_size


def _with_seconds(groups: int, group_size: int) -> tuple[int, int] | None:
    """Blocks that fit a tile, and second columns of each; None where there are none, or where a
    second copy is no wider."""
    width = _least_count(groups, group_size)
    if groups > _WIDEST or width == 2 * column_count(groups, group_size):
        return None
    for blocks in _divisors(groups):
        n = groups // blocks
        seconds = min(n, (width - groups) // blocks)
        if n + seconds <= _OUTPUTS and seconds >= _ALONE * n:
            return blocks, seconds
    return None


def _divisors(groups: int) -> list[int]:
    return [n for n in range(1, groups + 1) if groups % n == 0]
