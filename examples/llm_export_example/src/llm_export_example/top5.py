"""Share of positions at which the float model's most likely token is among the program's five."""

from __future__ import annotations

from llm_export.metrics.base import Batch, Metric


class Among:
    def __init__(self) -> None:
        self._found = self._positions = 0

    def add(self, batch: Batch) -> None:
        best = batch.program.topk(5, -1).indices
        self._found += int((best == batch.reference.argmax(-1)[:, None]).sum())
        self._positions += len(batch.targets)

    def values(self) -> dict[str, float]:
        return {"top5_agreement": self._found / self._positions}


METRIC = Metric(
    name="top5_agreement",
    unit="share",
    higher_is_better=True,
    best=1.0,
    bounds=(0.0, 1.0),
    start=Among,
    title="top-5 agreement",
    short_title="top-5",
    form="{:.4f}",
    short_form="{:.3f}",
)
