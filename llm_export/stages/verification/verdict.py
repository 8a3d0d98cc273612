"""Judge the comparisons of a program: the word of the scale, or why there is none."""

from __future__ import annotations

from llm_export.bundle.proof import ComparisonResult, Comparisons
from llm_export.bundle.verdict import CHANGED, MEAN_KL, Figure, Verdict
from llm_export.config.schema import Recipe, Thresholds
from llm_export.config.train_schema import TrainLoss
from llm_export.errors import VerificationError
from llm_export.metrics.scale import ADVISED, LEVELS, NOT_JUDGED, level_of
from llm_export.quant.alternatives import better_option
from llm_export.resolve.partial_options import partial_options

_GUESSING = 0.5
"""A perplexity above this share of the vocabulary's size is noted: a model that knows nothing
of the text, and guesses evenly, has the whole size."""


def judge(
    recipe: Recipe, found: Comparisons, limits: Thresholds, vocabulary: int, faithful: bool | None
) -> Verdict:
    """The verdict on the quality of a program.

    Args:
        limits: of the recipe, for the quality.
        vocabulary: tokens of the model.
        faithful: whether the limits of the lowering are kept; None if there are none.
    """
    quality = found.quality
    changed = 1 - quality.top1_agreement
    level = level_of(quality.mean_kl, changed)
    reason = _not_judged(recipe)
    judged = reason is None
    agreement = (quality.intervals or {}).get("top1_agreement")
    figures = (
        Figure(
            MEAN_KL, quality.mean_kl, level.max_mean_kl if judged and level != LEVELS[-1] else None,
            limits.max_mean_kl, (quality.intervals or {}).get("mean_kl"),
        ),
        Figure(
            CHANGED, changed, level.max_changed if judged and level != LEVELS[-1] else None,
            None if limits.min_top1 is None else 1 - limits.min_top1,
            agreement and agreement.complement(),
        ),
    )  # fmt: skip
    remarks = perplexity_remarks(quality, vocabulary)
    advice = None
    if judged:
        remarks = [*_between(figures, level.word), *remarks]
        if LEVELS.index(level) >= ADVISED:
            chain = [recipe.backend.name, *recipe.backend.fallbacks]
            advice = better_option(recipe.quant, chain, partial_options(recipe))
    return Verdict(
        level.word if judged else NOT_JUDGED, reason or level.meaning, figures, faithful,
        tuple(remarks), advice,
    )  # fmt: skip


def _not_judged(recipe: Recipe) -> str | None:
    """Why the distance from the float model says nothing of the quality; None if it does."""
    if recipe.checkpoint.is_random:
        return "the weights are random, so there is no quality to lose"
    if recipe.train.enabled and recipe.train.loss is TrainLoss.cross_entropy:
        return "training changed the model on purpose, so only its perplexity says something"
    return None


def _between(figures: tuple[Figure, ...], word: str) -> list[str]:
    """A remark where the confidence interval reaches into another level."""
    low, high = (
        level_of(*(getattr(f.interval, end) if f.interval else f.value for f in figures)).word
        for end in ("low", "high")
    )
    others = [other for other in (low, high) if other != word]
    if not others:
        return []
    return [f"{' or '.join(others)} is possible too: the text is too short to tell "
            "(verify.positions)"]  # fmt: skip


def perplexity_remarks(quality: ComparisonResult, vocabulary: int) -> list[str]:
    """A remark on a perplexity that a model without knowledge would have."""
    found = {"float32 model": quality.reference_perplexity, "program": quality.perplexity}
    high = {who: value for who, value in found.items() if not value < _GUESSING * vocabulary}
    if not high:
        return []
    told = " and ".join(f"{value:.4g} of the {who}" for who, value in high.items())
    return [
        f"perplexity {told}, near or above the vocabulary of {vocabulary} tokens: no better on "
        "this text than a guess"
    ]


def require_kept(unfaithful: list[str], lossy: list[str], verdict: Verdict) -> None:
    """
    Args:
        unfaithful: limits of the lowering that are exceeded.
        lossy: the same of the quality.

    Raises:
        VerificationError: there are any. The message says whether program or recipe is at fault.
    """
    if unfaithful:
        raise VerificationError(
            "the program is not right: " + "; ".join([*unfaithful, *lossy]),
            where="verify",
            fix="choose another quant option or backend, or change verify.lowering",
        )
    if lossy:
        faithful = (
            ". It is numerically faithful: the loss is that of the recipe, not of the export"
            if verdict.faithful else ""
        )  # fmt: skip
        option = f"{verdict.advice}; or " if verdict.advice else ""
        raise VerificationError(
            f"the program is not good enough ({verdict.word}): {'; '.join(lossy)}{faithful}",
            where="verify.quality",
            fix=f"{option}a larger limit if the loss is acceptable, e.g. "
            "verify.quality.max_mean_kl=1",
        )
