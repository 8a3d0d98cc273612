"""Ask the float32 model what the program was asked."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from llm_export.config.schema import filled
from llm_export.errors import LlmExportError, first_line
from llm_export.evaluation.base import Subject
from llm_export.pipeline.summary import Answer
from llm_export.report.answers import Asked
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.evaluation.layers import float_model
from llm_export.tokenizers.common_start import common_start
from runtime_py.errors import BundleRuntimeError
from runtime_py.sampling import Sampler, Sampling
from runtime_py.tokenizer import TextStream, TextTokenizer


def with_references(
    asked: Sequence[Asked], resolved: ResolvedRecipe, tokenizer: TextTokenizer, sampling: Sampling
) -> tuple[Answer, ...]:
    """The answers, each with the float32 model's answer to the same prompt.

    The model is built from the checkpoint, without transforms, and released at the end. It checks
    the program's answer in one step and generates only what follows the first token that it would
    not have chosen, as in speculative decoding (arXiv:2211.17192) with the program as the draft.

    Args:
        sampling: of the program's answers, greedy.
    """
    recipe = resolved.recipe
    lengths = [len(each.prompt) + sampling.max_new_tokens for each in asked if each.made]
    if not lengths:
        return tuple(each.answer for each in asked)
    room = min(max(lengths), filled(recipe.runtime.context_length))
    try:
        with float_model(recipe, room) as subject:
            return tuple(_with_reference(each, subject, tokenizer, sampling) for each in asked)
    except (LlmExportError, BundleRuntimeError, OSError, MemoryError) as error:
        traceback.print_exc()  # to the log
        return without_references(asked, f"it failed: {first_line(error)}")


def without_references(asked: Sequence[Asked], reason: str) -> tuple[Answer, ...]:
    return tuple(
        replace(each.answer, no_reference=reason) if each.made else each.answer for each in asked
    )


def _with_reference(
    asked: Asked, subject: Subject, tokenizer: TextTokenizer, sampling: Sampling
) -> Answer:
    if not asked.made:
        return asked.answer
    made = continued(subject, asked.prompt, asked.made, tokenizer, sampling)
    stream = TextStream(tokenizer)
    text = "".join(stream.push(token) for token in made if token not in tokenizer.eos_ids)
    return replace(
        asked.answer,
        reference=(text + stream.flush()).strip(),
        parts_at=_first_difference(made, asked.made),
    )


def continued(
    subject: Subject,
    prompt: Sequence[int],
    draft: Sequence[int],
    tokenizer: TextTokenizer,
    sampling: Sampling,
) -> list[int]:
    """The tokens that a model answers to ``prompt``, with the one that ends the answer.

    Args:
        draft: another model's answer, not empty. If nothing but its length ended it, this one is
            no longer.
    """
    ends, made = tokenizer.eos_ids, list[int]()
    most = sampling.max_new_tokens if draft[-1] in ends else len(draft)
    rows = _rows(subject, [*prompt, *draft[:-1]], len(prompt) - 1)
    sampler: Sampler | None = None
    for row, drafted in zip(rows, draft, strict=True):
        sampler = sampler or _sampler(sampling, prompt, tokenizer, row.numel())
        made.append(sampler(row))
        if made[-1] in ends:
            return made
        if made[-1] != drafted:
            break
    assert sampler is not None
    most = min(most, subject.context_length - len(prompt) + 1)
    while len(made) < most and made[-1] not in ends:
        ids = [*prompt, *made]
        (row,) = _rows(subject, ids, len(ids) - 1)
        made.append(sampler(row))
    return made


def _rows(subject: Subject, ids: Sequence[int], first: int) -> Iterator[Tensor]:
    """Logits [V] after each of ``ids[first:]``."""
    for some in subject.rows(ids, first):
        yield from some


def _sampler(
    sampling: Sampling, prompt: Sequence[int], tokenizer: TextTokenizer, vocabulary: int
) -> Sampler:
    never = tokenizer.without_text(vocabulary)
    return Sampler(sampling, 0, prompt, torch.tensor(never) if never else None)


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    return None if list(one) == list(other) else common_start(one, other)
