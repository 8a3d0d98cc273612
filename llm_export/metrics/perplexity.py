"""Perplexity of the program and of the reference on the text: exp of the mean negative
log-likelihood of a token. It depends on the tokenizer; see ``word_perplexity``.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from llm_export.metrics.base import Batch, Metric
from llm_export.metrics.value import Value

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = math.log(sys.float_info.max)
"""A loss beyond this has no finite perplexity, and JSON no other number."""


class Losses:
    """Summed negative log-likelihoods of both models, in nats."""

    def __init__(self) -> None:
        self.program = self.reference = 0.0

    def add(self, batch: Batch) -> None:
        self.program += _loss(batch.log_program, batch.targets)
        self.reference += _loss(batch.log_reference, batch.targets)


class Perplexity:
    def __init__(self) -> None:
        self._losses = Losses()
        self._positions = 0

    def add(self, batch: Batch) -> None:
        self._losses.add(batch)
        self._positions += len(batch.targets)

    def values(self) -> dict[str, float]:
        return {
            "perplexity": perplexity(self._losses.program, self._positions),
            "reference_perplexity": perplexity(self._losses.reference, self._positions),
        }


def perplexity(loss: float, count: int) -> float:
    """exp(loss / count) for a summed loss in nats; the largest float for one that overflows."""
    return math.exp(min(loss / count, _LARGEST))


def _loss(log_probabilities: Tensor, targets: Tensor) -> float:
    """Sum of the negative log-likelihoods, in nats."""
    return -float(log_probabilities.gather(1, targets[:, None]).sum())


METRIC = Metric(
    name="perplexity",
    unit="",
    higher_is_better=False,
    start=Perplexity,
    title="perplexity",
    short_title="ppl",
    form="{:.3f}",
    short_form="{:.4g}",
    alone=True,
    others=(
        Value("reference_perplexity", "reference perplexity", "", None, form="{:.3f}", brief=False),
    ),
)
