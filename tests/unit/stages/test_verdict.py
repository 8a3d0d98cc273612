"""The verdict on a comparison: its word, its limits, and what it does not judge."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.bundle.proof import ComparisonResult, Comparisons
from llm_export.bundle.verdict import Verdict
from llm_export.config.quant_schema import QUALITY_LIMIT
from llm_export.config.schema import Thresholds
from llm_export.errors import VerificationError
from llm_export.metrics.interval import Interval
from llm_export.stages.verification.quality_limits import RANDOM_WEIGHTS_KL, quality_limits
from llm_export.stages.verification.verdict import judge, require_kept

REAL = ["model=smollm2_135m", "backend=xnnpack"]


def result(
    kl: float,
    top1: float,
    perplexity: float = 50.0,
    intervals: dict[str, Interval] | None = None,
) -> Comparisons:
    values = {"mean_kl": kl, "top1_agreement": top1, "perplexity": perplexity,
              "reference_perplexity": perplexity}  # fmt: skip
    found = ComparisonResult(1000, values, intervals=intervals)
    return Comparisons(found, found)


def verdict(words: list[str], found: Comparisons, vocabulary: int = 49152) -> Verdict:
    recipe = api.compose_recipe(None, words).recipe
    return judge(recipe, found, quality_limits(recipe), vocabulary, True)


def test_a_visible_loss_names_what_does_better() -> None:
    poor = verdict([*REAL, "quant=8da4w"], result(0.61, 0.525))
    assert poor.word == "poor"
    assert "quant=8da4w_asym at the same size" in (poor.advice or "")
    rows = dict(poor.rows())
    assert rows["mean KL to float32"] == "0.61 nats; poor up to 1, this recipe up to 0.3"
    assert rows["top token changed"] == "47.5 %; poor up to 60.0"
    assert rows["numerically faithful"].startswith("yes")
    good = verdict([*REAL, "quant=8da4w_asym"], result(0.017, 0.913))
    assert (good.word, good.advice, good.remarks) == ("good", None, ())


def test_an_interval_across_a_limit_is_remarked_on() -> None:
    both = {"mean_kl": Interval(0.008, 0.014), "top1_agreement": Interval(0.93, 0.95)}
    found = verdict([*REAL, "quant=8da8w"], result(0.0095, 0.94, intervals=both))
    assert found.word == "near-lossless"
    assert "good is possible too" in found.remarks[0]
    assert "0.0095 nats (95 % interval 0.008 to 0.014)" in found.rows()[0][1]
    assert "6.0 % (95 % interval 5.0 to 7.0)" in found.rows()[1][1]


def test_random_weights_are_not_judged_and_keep_their_wide_limit() -> None:
    words = ["model=tiny", "backend=xnnpack", "quant=8da4w"]
    found = verdict(words, result(0.61, 0.5, perplexity=549.0), vocabulary=320)
    assert found.word == "not judged"
    assert "random" in found.meaning
    assert found.advice is None
    assert "vocabulary of 320" in found.remarks[0]

    def limit(*more: str) -> float | None:
        return quality_limits(api.compose_recipe(None, [*words, *more]).recipe).max_mean_kl

    assert limit() == RANDOM_WEIGHTS_KL
    assert limit("train=qat") == RANDOM_WEIGHTS_KL
    assert limit("verify.quality.max_mean_kl=0.2") == 0.2
    assert limit("train=qat", "train.max_mean_kl=0.2") == 0.2
    assert limit("quant=none") == 1e-5, "arithmetic is the same with any weights"


def test_training_on_text_is_not_judged() -> None:
    words = [*REAL, "quant=8da4w", "train=qat", "train.loss=cross_entropy"]
    assert verdict(words, result(0.61, 0.5)).word == "not judged"


@pytest.mark.parametrize("quant", ["8da4w", "8da4w_asym_small", "auto"])
def test_no_option_allows_more_than_the_default_limit(quant: str) -> None:
    recipe = api.compose_recipe(None, [*REAL, f"quant={quant}"]).recipe
    assert quality_limits(recipe).max_mean_kl == QUALITY_LIMIT


def test_a_lossy_recipe_is_told_apart_from_a_wrong_program() -> None:
    poor = verdict([*REAL, "quant=8da4w"], result(0.61, 0.525))
    require_kept([], [], poor)
    with pytest.raises(VerificationError) as lossy:
        require_kept([], ["mean KL 0.61 exceeds 0.3"], poor)
    assert "not good enough (poor)" in str(lossy.value)
    assert "numerically faithful" in str(lossy.value)
    assert "quant=8da4w_asym" in str(lossy.value)
    assert "verify.quality.max_mean_kl=1" in str(lossy.value)
    with pytest.raises(VerificationError, match="the program is not right"):
        require_kept(["logits differ"], [], poor)


def test_a_recipe_without_limits_has_no_limit_beside_its_figures() -> None:
    recipe = api.compose_recipe(None, [*REAL, "quant=8da8w"]).recipe
    found = judge(recipe, result(2.0, 0.1), Thresholds(), 49152, None)
    assert found.word == "broken"
    assert found.rows()[0] == ("mean KL to float32", "2 nats")
    assert "numerically faithful" not in dict(found.rows())
