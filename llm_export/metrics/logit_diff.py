"""Largest absolute difference of any logit."""

from __future__ import annotations

from llm_export.metrics.base import Batch, Metric


class LargestDifference:
    def __init__(self) -> None:
        self._largest = 0.0

    def add(self, batch: Batch) -> None:
        found = float((batch.program - batch.reference).abs().max())
        self._largest = max(self._largest, found)

    def values(self) -> dict[str, float]:
        return {"max_logit_diff": self._largest}


METRIC = Metric(
    name="max_logit_diff",
    unit="",
    higher_is_better=False,
    start=LargestDifference,
    limit="max_logit_diff",
    title="largest logit difference",
    brief=False,
    violation="logits differ by {value:.3g}, more than {limit:g}",
)
