"""Share of positions at which both models predict the same most likely token (top-1 agreement)."""

from __future__ import annotations

from llm_export.metrics.base import Batch, Metric


class Agreement:
    def __init__(self) -> None:
        self._agree = self._positions = 0

    def add(self, batch: Batch) -> None:
        self._agree += int((batch.program.argmax(-1) == batch.reference.argmax(-1)).sum())
        self._positions += len(batch.targets)

    def values(self) -> dict[str, float]:
        return {"top1_agreement": self._agree / self._positions}


METRIC = Metric(
    name="top1_agreement",
    unit="share",
    higher_is_better=True,
    best=1.0,
    start=Agreement,
    limit="min_top1",
    violation="top-1 agreement {value:.4f} is below {limit:g}",
    widest=0.6,
    summary="top-1 {value:.3f}",
)
