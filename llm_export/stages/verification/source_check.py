"""Compare what was read of a checkpoint with what transformers reads of the same files.

All other comparisons of a run rest on our own readers: a file that is misread is misread on both
sides. Here weights, config, tokenizer and chat template are read a second time, by the library
that Hugging Face folders are written for. The load stage does so, before any of the work that a
misread checkpoint would waste.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TypeAlias

from torch import Tensor

from llm_export.amounts import amount
from llm_export.bundle.proof import SourceComparison
from llm_export.config.schema import OptionalCheck, Recipe
from llm_export.errors import MissingDependencyError, VerificationError
from llm_export.free_memory import available_memory
from llm_export.memory import release_memory
from llm_export.models.hf.config import require_transformers
from llm_export.pipeline.artifacts import Source
from llm_export.stages.verification import transformers_reading as theirs
from llm_export.stages.verification.transformers_reading import NotComparable
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import corpus, token_difference
from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError

LIMIT = 1e-3
"""Largest difference of a logit, relative to the largest logit. Two float32 computations of one
model differ by about 1e-6, in deep models by 1e-5; the smallest misreading seen gave 5e-3."""

Talk: TypeAlias = tuple[dict[str, str], ...]
CONVERSATIONS: tuple[Talk, ...] = (
    ({"role": "user", "content": "Hi!"},),
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}),
    (
        {"role": "user", "content": " One\n"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Three <b>é</b>"},
    ),
)

TOOL: dict[Any, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Its name."}},
            "required": ["city"],
        },
    },
}


@dataclass
class _Found:
    counts: dict[str, int] = field(default_factory=dict)
    error: float | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def compare_source(
    recipe: Recipe, source: Source, ids: list[int], reference: Callable[[], Tensor]
) -> SourceComparison | None:
    """Compare logits, token ids, special ids and rendered conversations.

    Args:
        source: with a comparison of its own, which counts, unless the recipe requires a part that
            it leaves out.
        ids: tokens that the float32 model was fed.
        reference: its logits [P, V] of the last P of them; called only if they are compared.

    Returns:
        None if the recipe turns the comparison off, or there are no files to read.

    Raises:
        VerificationError: transformers reads something else; or, with
            ``verify.source=require``, a part cannot be compared.
    """
    how, made = recipe.verify.source, source.comparison
    if how is OptionalCheck.skip or not source.checkpoint.files:
        return None
    if made is not None and not (how is OptionalCheck.require and made.skipped):
        return made
    try:
        require_transformers()
        library = f"transformers {metadata.version('transformers')}"
        found = _compared(recipe, source, ids, reference)
    except MissingDependencyError as error:
        library, found = "transformers", _Found(skipped={"all": error.what})
    if how is OptionalCheck.require:
        found.problems += [f"{part} not compared: {why}" for part, why in found.skipped.items()]
    if found.problems:
        raise VerificationError(
            f"the checkpoint is not what {library} reads of it: " + "; ".join(found.problems),
            where=str(source.checkpoint.files[0].parent),
            fix="files of the folder contradict each other; if ours is the reading that you want, "
            "verify.source=skip",
        )
    return SourceComparison(library, found.error, **found.counts, skipped=found.skipped)


def _compared(
    recipe: Recipe, source: Source, ids: list[int], reference: Callable[[], Tensor]
) -> _Found:
    found = _Found()
    steps: Mapping[str, Callable[[], int]] = {
        "positions": lambda: _logits(recipe, source, ids, reference, found),
        "texts": lambda: _texts(recipe, source.tokenizer, found),
        "chats": lambda: _chats(recipe, source.tokenizer, found),
    }
    for part, step in steps.items():
        try:
            theirs.require_folder(recipe.checkpoint, source.checkpoint)
            found.counts[part] = step()
        except NotComparable as why:
            found.skipped[part] = str(why)
    if len(set(found.skipped.values())) == 1 and len(found.skipped) == len(steps):
        found.skipped = {"all": next(iter(found.skipped.values()))}
    return found


def _logits(
    recipe: Recipe, source: Source, ids: list[int], reference: Callable[[], Tensor], found: _Found
) -> int:
    release_memory(always=True)
    needed, free = 5 * source.parameters, available_memory()
    if needed > free:
        raise NotComparable(
            f"transformers' model needs {amount(needed)} of memory, {amount(free)} are free"
        )
    ours = reference()
    release_memory(always=True)
    try:
        expected = theirs.logits(recipe, ids)[-len(ours) :]
    finally:
        release_memory(always=True)
    if expected.shape != ours.shape:
        found.problems.append(f"its logits have {expected.shape[-1]} values, ours {ours.shape[-1]}")
        return 0
    found.error = float((ours - expected).abs().max() / expected.abs().max())
    if not found.error <= LIMIT:
        worst = int((ours - expected).abs().amax(-1).argmax())
        found.problems.append(
            f"logits differ by {found.error:.2g} of the largest, most at position "
            f"{len(ids) - len(ours) + worst} of a text"
        )
    return len(ours)


def _texts(recipe: Recipe, assets: TokenizerAssets, found: _Found) -> int:
    if assets.source is not None:  # whose own library the load stage has asked
        raise NotComparable(
            f"{assets.source.library} itself is the reference, see verify.tokenizer"
        )
    tokenizer = theirs.tokenizer(recipe.checkpoint)
    texts = corpus(assets)
    expected = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    problem = token_difference(texts, expected, assets, "transformers", "ours")
    if problem:
        found.problems.append(f"the tokenizer {problem}")
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in assets.eos_ids:
        found.problems.append(
            f"its end-of-sequence id {tokenizer.eos_token_id} ({tokenizer.eos_token!r}) is not "
            f"among ours, {list(assets.eos_ids)}"
        )
    return len(texts)


def _chats(recipe: Recipe, assets: TokenizerAssets, found: _Found) -> int:
    tokenizer = theirs.tokenizer(recipe.checkpoint)
    if assets.chat_template is None or tokenizer.chat_template is None:
        if assets.chat_template != tokenizer.chat_template:
            theirs.require_no_processor(recipe.checkpoint)
            who = "it has" if assets.chat_template is None else "we have"
            found.problems.append(f"only {who} a chat template")
        return 0
    talks: list[tuple[Talk, list[Any] | None]] = [(talk, None) for talk in CONVERSATIONS]
    talks.append((CONVERSATIONS[0], [TOOL]))
    for messages, tools in talks:
        expected, actual = theirs.rendered(tokenizer, messages, tools), None
        source = assets.chat_template if tools is None else assets.tool_use_template
        with contextlib.suppress(BundleRuntimeError):
            template = ChatTemplate(source or assets.chat_template, assets.special_tokens)
            actual = template.render(messages, tools=tools)
        if actual != expected:
            found.problems.append(
                f"a conversation of {len(messages)} messages{' with a tool' if tools else ''} "
                f"renders as {expected!r}, ours as {actual!r}"
            )
    return len(talks)
