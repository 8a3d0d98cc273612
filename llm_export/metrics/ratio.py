"""How many times one program is as fast, or as large, as another: ratios with their confidence
intervals.

Times of one program are skewed to the right and their noise is proportional to them, so the
logarithms are compared: Student's t for measurements in pairs, Welch's t for independent ones
(Welch 1947, doi:10.1093/biomet/34.1-2.28), and the result is a ratio of geometric means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from llm_export.metrics.interval import LEVEL, Interval


@dataclass(frozen=True)
class Ratio:
    """A ratio and, with at least two measurements of each side, its interval at ``LEVEL``.

    Attributes:
        error: standard error of the ratio's logarithm; None with fewer measurements.
        degrees: of freedom of Student's t behind the interval.
    """

    value: float
    interval: Interval | None
    error: float | None = None
    degrees: float = 0.0

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 1; False without an interval."""
        return self.interval is not None and not self.interval.low <= 1 <= self.interval.high

    def p_value(self, beyond: float = 0.0) -> float | None:
        """The two-sided p-value of the hypothesis that the two differ by a share of ``beyond`` at
        most; None without an interval."""
        if self.error is None:
            return None
        distance = abs(math.log(self.value)) - math.log1p(beyond)
        if distance <= 0:
            return 1.0
        if not self.error:
            return 0.0
        from scipy.special import stdtr  # here, because it takes half a second

        return min(1.0, 2 * float(stdtr(self.degrees, -distance / self.error)))


def paired_ratio(measured: Sequence[float], base: Sequence[float]) -> Ratio:
    """The ratio of measurements in turns: ``measured[i]`` and ``base[i]`` are of one round, so that
    what disturbs the machine for longer than a round affects both and cancels.

    Raises:
        ValueError: there are none, not as many of both, or one is not a positive number.
    """
    if len(measured) != len(base):
        raise ValueError(f"{len(measured)} and {len(base)} measurements do not pair")
    logs = [a - b for a, b in zip(_logs(measured), _logs(base), strict=True)]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else None
    return _ratio(statistics.fmean(logs), error, len(logs) - 1)


def ratio(measured: Sequence[float], base: Sequence[float]) -> Ratio:
    """The ratio of independent measurements.

    Raises:
        ValueError: there are none, or one is not a positive number.
    """
    logs, others = _logs(measured), _logs(base)
    mean = statistics.fmean(logs) - statistics.fmean(others)
    if min(len(logs), len(others)) < 2:
        return _ratio(mean, None, 0)
    shares = [statistics.variance(x) / len(x) for x in (logs, others)]
    total = sum(shares)
    if not total:
        return _ratio(mean, 0.0, 1)
    degrees = total**2 / sum(
        s**2 / (len(x) - 1) for s, x in zip(shares, (logs, others), strict=True)
    )
    return _ratio(mean, math.sqrt(total), degrees)


def _logs(values: Sequence[float]) -> list[float]:
    if not values or not all(0 < v < math.inf for v in values):
        raise ValueError(f"a ratio needs positive finite measurements, not {list(values)}")
    return [math.log(v) for v in values]


def _ratio(mean: float, error: float | None, degrees: float) -> Ratio:
    if error is None:
        return Ratio(math.exp(mean), None)
    from scipy.special import stdtrit  # here, because it takes half a second

    reach = float(stdtrit(degrees, (1 + LEVEL) / 2)) * error
    between = Interval(math.exp(mean - reach), math.exp(mean + reach))
    return Ratio(math.exp(mean), between, error, degrees)
