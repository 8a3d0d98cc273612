"""Compare two next-token distributions, position by position."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from llm_export.bundle.proof import ComparisonResult
from llm_export.config.schema import Thresholds, VerifyConfig, filled
from llm_export.errors import InputError
from llm_export.metrics import metrics
from llm_export.metrics.base import Batch, MeanOverPositions, Metric
from llm_export.metrics.interval import Interval, clustered_interval


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


_VALUES = 1 << 20
"""Number of logits to compare at once, in float64."""


class Comparison:
    """All metrics over the windows; logits are [P, V], targets [P]."""

    def __init__(self) -> None:
        self.positions = 0
        self._parts = [(metric, metric.start()) for metric in metrics()]
        self._ends: list[int] = []

    def end_window(self) -> None:
        """What was added since the last end are the positions of one window."""
        self._ends.append(self.positions)

    def add(self, program: Tensor, reference: Tensor, targets: Tensor) -> None:
        # In float64 and several times over: a few positions at once.
        step = max(1, _VALUES // program.shape[-1])
        for some in zip(*(t.split(step) for t in (program, reference, targets)), strict=True):
            self._add(*some)

    def _add(self, program: Tensor, reference: Tensor, targets: Tensor) -> None:
        p, r = program.double(), reference.double()
        batch = Batch(p, r, torch.log_softmax(p, -1), torch.log_softmax(r, -1), targets)
        for _, part in self._parts:
            part.add(batch)
        self.positions += len(targets)

    def result(self) -> ComparisonResult:
        """The number of positions, the values of each metric, and their intervals if the windows
        are known."""
        values: dict[str, float] = {}
        for _, part in self._parts:
            values |= part.values()
        return ComparisonResult(self.positions, values, intervals=self._intervals() or None)

    def _intervals(self) -> dict[str, Interval]:
        sizes = [end - start for start, end in zip([0, *self._ends], self._ends, strict=False)]
        if sum(sizes) != self.positions:
            return {}
        found = {
            metric.name: clustered_interval(part.positions(), sizes, metric.bounds)
            for metric, part in self._parts
            if isinstance(part, MeanOverPositions)
        }
        return {name: interval for name, interval in found.items() if interval is not None}


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
