"""The metrics of the proof, and that it fails closed."""

from __future__ import annotations

import math

import pytest
import torch

from llm_export.bundle.proof import ComparisonResult
from llm_export.config.schema import Thresholds
from llm_export.errors import InputError
from llm_export.evaluation.eval_text import shipped_text
from llm_export.metrics.comparison import Comparison
from llm_export.stages.verification.metrics import violations, widened, windows


def compare(program: torch.Tensor, reference: torch.Tensor) -> ComparisonResult:
    c = Comparison()
    c.add(program, reference, torch.zeros(len(program), dtype=torch.int64))
    return c.result()


def a_result(mean_kl: float, top1: float, diff: float) -> ComparisonResult:
    values = {"mean_kl": mean_kl, "top1_agreement": top1, "max_logit_diff": diff}
    return ComparisonResult(9, values)


def test_kl_of_known_distributions() -> None:
    reference = torch.tensor([[0.5, 0.5]]).log()
    program = torch.tensor([[0.25, 0.75]]).log()
    result = compare(program, reference)
    assert result.mean_kl == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-6)
    assert result.perplexity == pytest.approx(4.0)
    assert result.reference_perplexity == pytest.approx(2.0)
    assert result.max_logit_diff == pytest.approx(math.log(2), rel=1e-5)


def test_equal_logits_have_no_distance() -> None:
    logits = torch.randn(7, 11)
    result = compare(logits, logits.clone())
    assert result.mean_kl == pytest.approx(0, abs=1e-12)
    assert result.top1_agreement == 1


def test_violations() -> None:
    result = a_result(0.2, 0.8, 3.0)
    assert violations(result, Thresholds(), "x") == []
    assert violations(result, Thresholds(0.3, 0.7, 4.0), "x") == []
    assert len(violations(result, Thresholds(0.1, 0.9, 2.0), "x")) == 3


def test_what_is_not_a_number_is_a_violation() -> None:
    logits = torch.full((2, 3), float("nan"))
    assert violations(compare(logits, torch.zeros(2, 3)), Thresholds(0.1, 0.9), "x")
    assert violations(compare(logits, torch.zeros(2, 3)), Thresholds(), "x")


def test_limits_widen_to_the_noise_floor_and_never_shrink() -> None:
    limits = Thresholds(max_mean_kl=0.001, min_top1=0.99)
    floor = a_result(0.02, 0.9, 1.0)
    wide = widened(limits, floor, 2.0)
    assert wide.max_mean_kl == pytest.approx(0.04)
    assert wide.min_top1 == pytest.approx(0.8)
    noise = a_result(2.0, 0.2, 9.0)
    assert violations(a_result(0.3, 0.5, 1.0), widened(limits, noise, 2.0), "x")
    none = a_result(0.0, 1.0, 0.0)
    assert widened(limits, none, 2.0) == limits
    assert widened(limits, None, 2.0) == limits


def test_windows_lie_side_by_side() -> None:
    assert list(windows(list(range(7)), 3, 2)) == [[0, 1, 2, 3], [3, 4, 5, 6]]
    with pytest.raises(InputError, match="the text has 6 tokens; 2 windows of 3 need 7"):
        list(windows(list(range(6)), 3, 2))


def test_the_shipped_text_is_english() -> None:
    text = shipped_text()
    assert len(text) > 40_000
    assert "Sir Walter Elliot" in text
