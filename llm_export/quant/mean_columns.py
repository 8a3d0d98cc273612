"""Layout of the columns of a weight that hold its group offsets (``offset_columns``). Does not
import torch, because size predictions use it too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

LIFT = 8.0
"""Factor on the group means. Inputs share one scale, and the mean of 32 independent values is 6
times smaller than one of them; with a larger factor the means would often set the scale."""

FINE = 14.0
"""A coarse column keeps an offset to half a step; a fine one holds that error times this, so that
it also fills 4-bit integers and both can share a scale. Together they leave 1/28 of a step."""

_WITH_FINE = Fraction(3, 5)
"""Of the groups have a fine column at least, all where there is room: columns come in whole groups
of the kernel, and one more of them for a few offsets costs more time than it saves error."""


@dataclass(frozen=True)
class MeanColumns:
    """Further inputs of a linear, from the means of its groups of inputs.

    Groups are taken in equal parts, so that the inputs are one small product, equal for all parts.
    Each part has a coarse input for each of its groups, then a fine one for as many as there is
    room for; those left are zero.

    Attributes:
        groups: number of groups; divides the number of inputs.
        width: further inputs.
    """

    groups: int
    width: int

    @property
    def parts(self) -> int:
        return math.gcd(self.groups, self.width)

    @property
    def coarse(self) -> int:
        """Groups of a part, each with a coarse input."""
        return self.groups // self.parts

    @property
    def inputs(self) -> int:
        """Further inputs of a part."""
        return self.width // self.parts

    @property
    def fine(self) -> int:
        """Groups of a part that also have a fine input."""
        return min(self.coarse, self.inputs - self.coarse)


def mean_columns(groups: int, group_size: int) -> MeanColumns:
    """The layout for a weight with so many groups of ``group_size`` columns."""
    return MeanColumns(groups, math.ceil((1 + _WITH_FINE) * groups / group_size) * group_size)
