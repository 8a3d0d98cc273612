"""Metrics are declared, each in its file, and a comparison reads them from the registry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

import pytest
import torch

from llm_export.bundle.proof import ComparisonResult
from llm_export.config.schema import Thresholds
from llm_export.json_data import to_json
from llm_export.metrics import METRICS, metrics
from llm_export.metrics.base import Batch, Metric
from llm_export.stages.verification.metrics import Comparison, summary, violations, widened


class Entropy:
    """A metric that nothing else knows."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, batch: Batch) -> None:
        self._sum -= float((batch.log_program.exp() * batch.log_program).sum())
        self._count += len(batch.targets)

    def values(self) -> dict[str, float]:
        return {"entropy": self._sum / self._count}


ENTROPY = Metric("entropy", "nats", False, Entropy, summary="entropy {value:.2f}")


@pytest.fixture
def entropy() -> Iterator[None]:
    METRICS.register("entropy", f"{__name__}:ENTROPY")
    yield
    del METRICS._entries["entropy"]


def compared() -> ComparisonResult:
    generator = torch.Generator().manual_seed(0)
    program, reference = (torch.randn(40, 12, generator=generator) for _ in range(2))
    found = Comparison()
    found.add(program[:30], reference[:30], torch.arange(30) % 12)
    found.add(program[30:], reference[30:], torch.arange(10))
    return found.result()


def test_results_have_these_keys_in_this_order() -> None:
    assert list(to_json(compared())) == [
        "positions", "mean_kl", "p99_kl", "top1_agreement", "max_logit_diff", "perplexity",
        "reference_perplexity",
    ]  # fmt: skip


def test_every_limit_of_the_schema_is_a_metric_s() -> None:
    assert {m.limit for m in metrics() if m.limit} == {f.name for f in fields(Thresholds)}


@pytest.mark.parametrize("metric", [m for m in metrics() if m.limit], ids=lambda m: m.name)
def test_directions_and_limits(metric: Metric) -> None:
    worse = -1 if metric.higher_is_better else 1
    limit = metric.best + worse * 0.1
    assert metric.keeps(limit, limit)
    assert not metric.keeps(limit + worse * 1e-6, limit)
    assert not metric.keeps(math.nan, limit)
    # A quiet model leaves the limit; a noisier one moves it, to twice its distance from the best.
    assert metric.widened(limit, metric.best + worse * 0.01, 2) == limit
    assert metric.widened(limit, metric.best + worse * 0.1, 2) == metric.best + worse * 0.2
    widest = metric.widened(limit, metric.best + worse * 10, 2)
    assert widest == (metric.best + worse * 20 if metric.widest is None else metric.widest)
    text = metric.violation.format(value=limit + worse, limit=limit)
    assert f"{limit:g}" in text


def test_a_new_metric_is_in_the_results_and_in_the_summary(entropy: None) -> None:
    result = compared()
    assert 0 < result.entropy < math.log(12)
    assert f"entropy {result.entropy:.2f}" in summary(result)
    assert violations(result, Thresholds(), "x") == []
    limits = Thresholds(max_mean_kl=0.1)
    assert widened(limits, result, 2.0) == Thresholds(max_mean_kl=0.25)


def test_the_perplexity_of_certain_wrong_answers_is_finite() -> None:
    """Logits far apart, as those of random weights: JSON has no number for infinity."""
    logits = torch.tensor([[0.0, 5000.0], [0.0, 5000.0]])
    comparison = Comparison()
    comparison.add(logits, logits, torch.tensor([0, 0]))
    assert math.isfinite(comparison.result().perplexity)
