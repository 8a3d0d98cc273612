"""The words of a verdict and their limits."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from llm_export.config.quant_schema import QUALITY_LIMIT
from llm_export.metrics.scale import LEVELS, level_of


@pytest.mark.parametrize(
    ("mean_kl", "changed", "word"),
    [
        (3e-11, 0.0, "lossless"),
        (0.0086, 0.065, "near-lossless"),  # 8da8w, docs/quality.md
        (0.017, 0.087, "good"),  # 8da4w_asym
        (0.11, 0.239, "visible loss"),  # 8da4w_asym_small
        (0.61, 0.475, "poor"),  # 8da4w
        (1.4, 0.5, "broken"),
        (0.0, 0.2, "visible loss"),  # the worse of the two counts
        (0.2, 0.0, "visible loss"),
        (math.nan, 0.0, "broken"),
        (0.0, math.nan, "broken"),
    ],
)
def test_the_word_of_a_loss(mean_kl: float, changed: float, word: str) -> None:
    assert level_of(mean_kl, changed).word == word


def test_limits_grow_and_the_default_limit_ends_visible_loss() -> None:
    for better, worse in pairwise(LEVELS):
        assert better.max_mean_kl < worse.max_mean_kl
        assert better.max_changed < worse.max_changed
        assert level_of(better.max_mean_kl, better.max_changed) == better
    assert level_of(QUALITY_LIMIT, 0).word == "visible loss"
    assert level_of(QUALITY_LIMIT * 1.01, 0).word == "poor"
