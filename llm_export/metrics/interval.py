"""Confidence intervals of means over the positions of a text.

Positions in one window share their context and their KV cache, so they are dependent. The error is
therefore estimated from the windows as clusters, as Miller recommends for language models
(arXiv:2411.00640), with the quantiles of Student's t for few clusters (Ibragimov and Müller 2010,
doi:10.1198/jbes.2009.08046; Bester, Conley and Hansen 2011, doi:10.1016/j.jeconom.2011.01.007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEVEL = 0.95
"""Confidence level of the intervals."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of its value."""

    low: float
    high: float

    def complement(self) -> Interval:
        """The interval of 1 - value, for a share."""
        return Interval(1 - self.high, 1 - self.low)


def clustered_interval(
    values: Tensor, sizes: Sequence[int], bounds: tuple[float, float]
) -> Interval | None:
    """Interval of the mean of ``values`` from the cluster-robust standard error

        SE^2 = G / (G - 1) * sum_g (sum_{i in g} (x_i - mean))^2 / N^2

    with G clusters, N values and G - 1 degrees of freedom. For clusters of equal size it is the
    interval of Student's t test over the cluster means.

    Args:
        values: [N], cluster after cluster.
        sizes: values of each cluster; their sum is N.
        bounds: the least and the largest possible mean.

    Returns:
        None with fewer than two clusters, or if a value is not finite.
    """
    count = len(sizes)
    if count < 2 or not bool(values.isfinite().all()):
        return None
    from scipy.special import stdtrit  # here, because it takes half a second

    x = values.double()
    mean = x.mean()
    sums = [float(part.sum()) for part in (x - mean).split(list(sizes))]
    error = math.sqrt(count / (count - 1) * sum(s * s for s in sums)) / len(x)
    reach = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    low, high = bounds
    return Interval(max(low, float(mean) - reach), min(high, float(mean) + reach))
