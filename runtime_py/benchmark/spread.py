"""Summaries of repeated measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

PERCENTILES = (10, 50, 90, 99)
MOST = 1000
"""Samples of a summary that are kept, for a chart."""


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes, mean, standard deviation (of a sample) and percentiles of the repetitions,
    and the repetitions themselves, thinned evenly to ``MOST``.

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("nothing was measured")
    order = sorted(values)
    return {
        "median": statistics.median(order),
        "min": order[0],
        "max": order[-1],
        "stdev": statistics.stdev(order) if len(order) > 1 else 0.0,
        "mean": statistics.fmean(order),
        **{f"p{percent}": percentile(order, percent) for percent in PERCENTILES},
        "samples": thinned(values),
    }


def percentile(order: Sequence[float], percent: float) -> float:
    """Of values in ascending order, interpolated linearly between neighbours (definition 7 of
    Hyndman and Fan, 1996, as in NumPy)."""
    at = (len(order) - 1) * percent / 100
    low = math.floor(at)
    high = min(low + 1, len(order) - 1)
    return order[low] + (order[high] - order[low]) * (at - low)


def thinned(values: Sequence[float], most: int = MOST) -> list[float]:
    """At most so many of the values, evenly spaced and in their order, with 6 digits."""
    count = min(len(values), most)
    step = len(values) / count if count else 0.0
    return [float(f"{values[int(i * step)]:.6g}") for i in range(count)]
