"""Options of the task ``embed``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_export.errors import RecipeError
from llm_export.models.encoders.config import EncoderConfig, SentenceConfig
from llm_export.models.encoders.pooling import POOLINGS

_WHERE = "model.task_options"


@dataclass(frozen=True)
class EmbedOptions:
    """What the program of an embedding model computes, and how its texts are prepared.

    Attributes:
        pooling: how a text's token vectors become one: mean, cls, last, max, weighted_mean,
            mean_sqrt_length; null: the checkpoint's.
        normalize: whether vectors have length 1; null: the checkpoint's.
        dimensions: channels that are kept (Matryoshka, arXiv:2205.13147); null: all.
        max_batch: most texts per call; 1: always one.
        lengths: fixed lengths in tokens, each a method of its own: ``forward`` for the longest,
            ``forward_N`` for the others. Null: one method for every length.
        prompts: name -> text that precedes an input.
        similarity: how vectors are compared: cosine, dot, euclidean, manhattan.
        matryoshka: the sizes to which the model was trained to be cut; empty: only its own.
        max_length: tokens to which texts are cut; null: the longest text that fits.
    """

    pooling: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    max_batch: int = 32
    lengths: list[int] | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    similarity: str = "cosine"
    matryoshka: list[int] = field(default_factory=list)
    max_length: int | None = None


SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@dataclass(frozen=True)
class EmbedPlan:
    """Options with the model's facts filled in.

    Attributes:
        dimensions: channels of the program's vectors.
        matryoshka: sizes to which these may be cut further, largest first.
        lengths: ascending; empty: dynamic, up to ``longest``.
    """

    pooling: tuple[str, ...]
    normalize: bool
    dimensions: int
    matryoshka: tuple[int, ...]
    max_batch: int
    lengths: tuple[int, ...]
    longest: int


def plan_of(options: EmbedOptions, config: EncoderConfig, context_length: int) -> EmbedPlan:
    """Check the options against the model, and fill in what they leave to it.

    Args:
        context_length: the longest text that the program can take, in tokens.

    Raises:
        RecipeError: an option does not fit the model, or neither says how to pool.
    """
    facts = config.sentence
    sizes = _sizes(options.matryoshka, config)
    kept = config.dimensions if options.dimensions is None else options.dimensions
    if kept != config.dimensions and kept not in sizes:
        raise RecipeError(
            f"dimensions={kept}, and the model's vectors "
            + (f"may have {_listed(sizes)} channels" if len(sizes) > 1 else
               f"of {config.dimensions} channels were not trained to be cut"),
            where=f"{_WHERE}.dimensions",
            fix="choose one of these" if len(sizes) > 1 else
            f"{_WHERE}.matryoshka=[SIZES], if the model's card says that they may be",
        )  # fmt: skip
    if options.max_batch < 1:
        raise RecipeError(f"max_batch={options.max_batch} is no number of texts",
                          where=f"{_WHERE}.max_batch", fix="1 or more")  # fmt: skip
    if options.similarity not in SIMILARITIES:
        raise RecipeError(f"there is no similarity '{options.similarity}'",
                          where=f"{_WHERE}.similarity",
                          fix=f"known: {', '.join(SIMILARITIES)}")  # fmt: skip
    longest = min(options.max_length or context_length, context_length)
    if longest < 1:
        raise RecipeError(f"max_length={options.max_length} is no number of tokens",
                          where=f"{_WHERE}.max_length", fix="1 or more, or null")  # fmt: skip
    lengths = _lengths(options.lengths, longest)
    return EmbedPlan(
        pooling=_pooling(options.pooling, config),
        normalize=facts.normalize if options.normalize is None else options.normalize,
        dimensions=kept,
        matryoshka=tuple(size for size in sizes if size <= kept),
        max_batch=options.max_batch,
        lengths=lengths,
        longest=lengths[-1] if lengths else longest,
    )


def _pooling(stated: str | None, config: EncoderConfig) -> tuple[str, ...]:
    facts: SentenceConfig = config.sentence
    if stated is None and facts.pooling:
        return facts.pooling
    if stated is None:
        raise RecipeError(
            "neither the checkpoint nor the recipe says how a text's token vectors become one",
            where=f"{_WHERE}.pooling",
            fix=f"the model's card says it: {_WHERE}.pooling=mean; known: {', '.join(POOLINGS)}",
        )
    if stated not in POOLINGS:
        raise RecipeError(f"there is no pooling '{stated}'", where=f"{_WHERE}.pooling",
                          fix=f"known: {', '.join(POOLINGS)}")  # fmt: skip
    if facts.dense and len(facts.pooling) > 1:
        raise RecipeError(
            f"the model's dense layers read {len(facts.pooling)} poolings side by side: "
            f"{', '.join(facts.pooling)}",
            where=f"{_WHERE}.pooling", fix=f"{_WHERE}.pooling=null",
        )  # fmt: skip
    return (stated,)


def _sizes(stated: Sequence[int], config: EncoderConfig) -> tuple[int, ...]:
    wrong = [size for size in stated if not 1 <= size <= config.dimensions]
    if wrong:
        raise RecipeError(
            f"matryoshka has {wrong[0]}, and the model's vectors have {config.dimensions} channels",
            where=f"{_WHERE}.matryoshka", fix=f"sizes from 1 to {config.dimensions}",
        )  # fmt: skip
    return tuple(sorted({*stated, config.dimensions}, reverse=True))


def _lengths(stated: Sequence[int] | None, context_length: int) -> tuple[int, ...]:
    if stated is None:
        return ()
    wrong = [length for length in stated if not 1 <= length <= context_length]
    if wrong or not stated or len(set(stated)) < len(stated):
        raise RecipeError(
            f"lengths={list(stated)}: they must be different, and from 1 to the longest text of "
            f"{context_length} tokens",
            where=f"{_WHERE}.lengths", fix=f"for instance [{max(context_length // 4, 1)},"
            f"{context_length}], or null for one method of every length",
        )  # fmt: skip
    return tuple(sorted(stated))


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
