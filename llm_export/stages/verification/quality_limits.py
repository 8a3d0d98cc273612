"""Limits for a trained model, relative to its float model and its training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from llm_export.bundle.proof import ComparisonResult
from llm_export.config.quant_schema import QUALITY_LIMIT
from llm_export.config.schema import Recipe, Thresholds
from llm_export.config.train_schema import TrainLoss
from llm_export.stages.verification.kv_cache_size import with_cache_room

RANDOM_WEIGHTS_KL = 1.0
"""Mean KL, in nats, that random weights may lose: only a faulty transform loses more."""


def quality_limits(recipe: Recipe) -> Thresholds:
    """Limits of the program relative to the float model of the checkpoint.

    Training changes the model's function. Distillation aims to preserve it; training on the text
    aims to change it, so then only perplexity is meaningful.
    """
    trained = recipe.train.enabled
    if trained and recipe.train.loss is TrainLoss.cross_entropy:
        return Thresholds()
    own, quality = recipe.quant.max_mean_kl, recipe.verify.quality
    stated = recipe.train.max_mean_kl if trained else quality.max_mean_kl
    limits = replace(quality, max_mean_kl=stated) if trained else with_cache_room(recipe)
    # A limit of usefulness. Tighter ones are of the arithmetic, and hold for any weights.
    of_use = own is not None and own >= QUALITY_LIMIT and stated == own
    if recipe.checkpoint.is_random and of_use:
        return replace(limits, max_mean_kl=RANDOM_WEIGHTS_KL)
    return limits


def perplexity_problems(recipe: Recipe, quality: ComparisonResult) -> list[str]:
    """Messages if a trained model has a worse perplexity on the verification text."""
    limit = recipe.train.max_perplexity_ratio
    if not recipe.train.enabled or limit is None:
        return []
    ratio = quality.perplexity / quality.reference_perplexity
    if ratio <= limit:
        return []
    return [
        f"perplexity {quality.perplexity:.4g} is {ratio:.3g} times that of the float32 model "
        f"before training, more than {limit:g}"
    ]


def fidelity(noise: Mapping[str, float]) -> dict[str, object] | None:
    """Difference of the quantized weights from the values in training; None without training.

    A kernel that stores scales in less precision than training cannot represent them exactly.

    Args:
        noise: name of a trained module -> SQNR of its weight to the value in training, in dB.
    """
    if not noise:
        return None
    inexact = {name: round(db, 2) for name, db in noise.items() if math.isfinite(db)}
    return {
        "modules": len(noise),
        "exact": len(noise) - len(inexact),
        "worst_sqnr_db": min(inexact.values(), default=None),
        "sqnr_db": inexact,
    }
