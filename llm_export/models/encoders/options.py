"""Options of the task ``embed``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_export.errors import RecipeError
from llm_export.models.encoders.config import POOLINGS, EncoderConfig

_WHERE = "model.task_options"


@dataclass(frozen=True)
class EmbedOptions:
    """What the program of an embedding model computes, and how its texts are prepared.

    Attributes:
        pooling: how a text's token vectors become one: mean, cls, last, max, weighted_mean,
            mean_sqrt_length, or several, whose results stand side by side: cls+mean.
        normalize: whether vectors have length 1.
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
    normalize: bool = True
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
    pooling = _pooling(options.pooling, config)
    if not 0 <= config.pad_id < config.vocab_size:
        raise RecipeError(
            f"pad_token_id={config.pad_id} is none of the vocabulary's {config.vocab_size} ids",
            where="model.config.pad_token_id", fix="the id of the token that pads a batch",
        )  # fmt: skip
    size = config.dense[-1].outputs if config.dense else config.hidden_size * len(pooling)
    sizes = _sizes(options.matryoshka, size)
    kept = size if options.dimensions is None else options.dimensions
    if kept not in sizes:
        several = len(sizes) > 1
        raise RecipeError(
            f"dimensions={kept}, and the model's vectors "
            + (f"may have {', '.join(map(str, sizes))} channels" if several else
               f"of {size} channels were not trained to be cut"),
            where=f"{_WHERE}.dimensions",
            fix="choose one of these" if several else
            f"{_WHERE}.matryoshka=[SIZES], if the model's card says that they may be",
        )  # fmt: skip
    if options.max_batch < 1:
        raise RecipeError(f"max_batch={options.max_batch} is no number of texts",
                          where=f"{_WHERE}.max_batch", fix="1 or more")  # fmt: skip
    if options.similarity not in SIMILARITIES:
        raise RecipeError(f"there is no similarity '{options.similarity}'",
                          where=f"{_WHERE}.similarity",
                          fix=f"known: {', '.join(SIMILARITIES)}")  # fmt: skip
    longest = context_length if options.max_length is None else options.max_length
    longest = min(longest, context_length)
    if longest < 1:
        raise RecipeError(f"max_length={options.max_length} is no number of tokens",
                          where=f"{_WHERE}.max_length", fix="1 or more, or null")  # fmt: skip
    lengths = _lengths(options.lengths, longest)
    return EmbedPlan(
        pooling=pooling,
        normalize=options.normalize,
        dimensions=kept,
        matryoshka=tuple(size for size in sizes if size <= kept),
        max_batch=options.max_batch,
        lengths=lengths,
        longest=lengths[-1] if lengths else longest,
    )


def _pooling(stated: str | None, config: EncoderConfig) -> tuple[str, ...]:
    if stated is None:
        raise RecipeError(
            "neither the checkpoint nor the recipe says how a text's token vectors become one",
            where=f"{_WHERE}.pooling",
            fix=f"the model's card says it: {_WHERE}.pooling=mean; known: {', '.join(POOLINGS)}",
        )
    names = tuple(stated.split("+"))
    for name in names:
        if name not in POOLINGS:
            raise RecipeError(f"there is no pooling '{name}'", where=f"{_WHERE}.pooling",
                              fix=f"known: {', '.join(POOLINGS)}")  # fmt: skip
    size = config.hidden_size * len(names)
    if config.dense and config.dense[0].inputs != size:
        raise RecipeError(
            f"the pooling {stated} gives {size} channels, and the first dense layer reads "
            f"{config.dense[0].inputs}",
            where=f"{_WHERE}.pooling", fix="the model's card says how it pools",
        )  # fmt: skip
    return names


def _sizes(stated: Sequence[int], largest: int) -> tuple[int, ...]:
    wrong = [size for size in stated if not 1 <= size <= largest]
    if wrong:
        raise RecipeError(
            f"matryoshka has {wrong[0]}, and the model's vectors have {largest} channels",
            where=f"{_WHERE}.matryoshka", fix=f"sizes from 1 to {largest}",
        )  # fmt: skip
    return tuple(sorted({*stated, largest}, reverse=True))


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
