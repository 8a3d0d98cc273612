"""KL divergence of the next-token distributions, reference || program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.metrics.base import Batch, Metric
from llm_export.metrics.value import Value

if TYPE_CHECKING:
    from torch import Tensor


class Divergence:
    """KL divergence of every position."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        log_r = batch.log_reference
        self._parts.append((log_r.exp() * (log_r - batch.log_program)).sum(-1))

    def positions(self) -> Tensor:
        import torch  # the declaration is read without it

        return torch.cat(self._parts)

    def values(self) -> dict[str, float]:
        kl = self.positions()
        return {"mean_kl": float(kl.mean()), "p99_kl": float(kl.quantile(0.99))}


METRIC = Metric(
    name="mean_kl",
    unit="nats",
    higher_is_better=False,
    start=Divergence,
    limit="max_mean_kl",
    violation="mean KL {value:.3g} exceeds {limit:g}",
    widest=0.25,
    summary="mean KL {value:.2g} to float32",
    title="mean KL",
    short_form="{:.2g}",
    others=(Value("p99_kl", "p99 KL", "nats", False, brief=False),),
)
