"""Windows of the verification text, and the limits of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_export.config.schema import Thresholds, VerifyConfig, filled
from llm_export.errors import InputError
from llm_export.metrics import metrics
from llm_export.metrics.base import Metric
from llm_export.metrics.comparison import ComparisonResult


def window_count(settings: VerifyConfig) -> int:
    """Number of windows for at least the required positions; only those after the prefill count."""
    compared = filled(settings.window) - filled(settings.prefill) + 1
    return math.ceil(settings.positions / compared)


def windows(ids: Sequence[int], length: int, count: int) -> Iterator[list[int]]:
    """``count`` consecutive windows of ``length`` + 1 ids; the last id is only a target.

    Raises:
        InputError: the text is too short.
    """
    needed = count * length + 1
    if len(ids) < needed:
        raise InputError(
            f"the text has {len(ids)} tokens; {count} windows of {length} need {needed}",
            where="verify.positions",
            fix="fewer verify.positions, or a longer verify.text",
        )
    for index in range(count):
        yield list(ids[index * length : (index + 1) * length + 1])


def widened(limits: Thresholds, floor: ComparisonResult | None, factor: float) -> Thresholds:
    """Limits that allow ``factor`` times the noise floor.

    Never wider than a metric's ``widest``: a model too noisy for that cannot be verified.
    """
    if floor is None:
        return limits
    wide = {
        metric.limit: metric.widened(limit, floor.value(metric.name), factor)
        for metric, limit in _limited(limits)
        if limit is not None
    }
    return replace(limits, **wide)


def violations(result: ComparisonResult, limits: Thresholds, name: str) -> list[str]:
    """Messages for metrics that exceed their limits."""
    found, values = [], []
    for metric, limit in _limited(limits):
        value = result.value(metric.name)
        values.append(value)
        if limit is not None and not metric.keeps(value, limit):
            found.append(f"{name}: {metric.violation.format(value=value, limit=limit)}")
    if any(value != value for value in values):
        found.append(f"{name}: the logits are not numbers")
    return found


def has_limit(limits: Thresholds) -> bool:
    """Whether there is any limit."""
    return any(limit is not None for _, limit in _limited(limits))


def summary(result: ComparisonResult) -> str:
    """The metrics in the line that a run prints."""
    return ", ".join(m.summary.format(value=result.value(m.name)) for m in metrics() if m.summary)


def _limited(limits: Thresholds) -> Iterator[tuple[Metric, float | None]]:
    """Metrics that can have a limit, with their limits."""
    return ((m, getattr(limits, m.limit)) for m in metrics() if m.limit)
