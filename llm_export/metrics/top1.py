"""Share of positions at which both models predict the same most likely token (top-1 agreement)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.metrics.base import Batch, Metric

if TYPE_CHECKING:
    from torch import Tensor


class Agreement:
    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        self._parts.append(batch.program.argmax(-1) == batch.reference.argmax(-1))

    def positions(self) -> Tensor:
        import torch  # the declaration is read without it

        return torch.cat(self._parts).double()

    def values(self) -> dict[str, float]:
        return {"top1_agreement": float(self.positions().mean())}


METRIC = Metric(
    name="top1_agreement",
    unit="share",
    higher_is_better=True,
    best=1.0,
    bounds=(0.0, 1.0),
    start=Agreement,
    limit="min_top1",
    violation="top-1 agreement {value:.4f} is below {limit:g}",
    widest=0.6,
    summary="top-1 {value:.3f}",
    title="top-1 agreement",
    short_title="top-1",
    form="{:.4f}",
    short_form="{:.3f}",
)
