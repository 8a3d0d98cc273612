"""Per-token perplexity of the program and of the reference on the text."""

from __future__ import annotations

import math
import sys

from torch import Tensor

from llm_export.metrics.base import Batch, Metric

_LARGEST = math.log(sys.float_info.max)
"""A loss beyond this has no finite perplexity, and JSON no other number."""


class Perplexity:
    def __init__(self) -> None:
        self._program = self._reference = 0.0
        self._positions = 0

    def add(self, batch: Batch) -> None:
        self._program += _loss(batch.log_program, batch.targets)
        self._reference += _loss(batch.log_reference, batch.targets)
        self._positions += len(batch.targets)

    def values(self) -> dict[str, float]:
        of = {"perplexity": self._program, "reference_perplexity": self._reference}
        return {k: math.exp(min(v / self._positions, _LARGEST)) for k, v in of.items()}


def _loss(log_probabilities: Tensor, targets: Tensor) -> float:
    """Sum of the negative log-likelihoods, in nats."""
    return -float(log_probabilities.gather(1, targets[:, None]).sum())


METRIC = Metric(name="perplexity", unit="", higher_is_better=False, start=Perplexity)
