"""Check what a local checkpoint says of text: tokenizer and chat template; see ``preflight.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from llm_export.bundle.processor_file import processor_json
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError, Problem, first_line
from llm_export.models.task import definition_of, task_of, task_options
from llm_export.predict.calibration import calibrates
from llm_export.stages.load import require_enough_text
from llm_export.stages.quantization.calibration import calibration_ids
from llm_export.stages.verification.source_check import TOOL
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.chat_opening import opening
from llm_export.tokenizers.usable import encoding_tokenizer, usable_tokenizer

_USER = {"role": "user", "content": "Hello"}
_MORE = [{"role": "assistant", "content": "Hi"}, _USER]
_SYSTEM = [{"role": "system", "content": "Be brief."}, _USER]


def tokenizer_facts(recipe: Recipe, vocab_size: int | None) -> tuple[list[Problem], list[str]]:
    """The problems that a run would have with the tokenizer and the texts of a resolved recipe,
    and notes on what a bundle changes of the tokenizer, and on its chat template.

    Args:
        vocab_size: of the model; None if it is not known before loading.
    """
    try:
        shapes = {"embed.weight": (vocab_size or 1, 1)}
        images = definition_of(recipe.model).images(recipe)
        mark = None if images is None else images.token_id
        checkpoint = open_checkpoint(
            recipe.checkpoint, shapes, image_token_id=mark, whole=images is not None
        )
        if images is not None:
            processor_json(checkpoint, task_options(recipe).processor)
        assets = checkpoint.tokenizer()
        compare = recipe.verify.enabled and recipe.verify.tokenizer
        decodes = task_of(recipe.model).decodes
        if decodes:
            assets, changes = usable_tokenizer(assets, vocab_size, compare=compare)
            require_enough_text(recipe, assets)
        else:
            assets, changes = encoding_tokenizer(assets, vocab_size)
        _require_calibration_text(recipe, assets)
    except LlmExportError as error:
        where = error.where or "checkpoint"
        return [Problem(error.what, where, error.fix or "another checkpoint")], []
    if not decodes:
        return [], list(changes)
    if not assets.chat_template:
        return [], [*changes, "chat template: none; questions are continued as plain text"]
    return [], [*changes, *_template(assets)]


def _require_calibration_text(recipe: Recipe, assets: TokenizerAssets) -> None:
    """A dataset is not read before a run."""
    settings = recipe.quant.calibration
    reads = task_of(recipe.model).reads_text and calibrates(recipe)
    if reads and settings.dataset is None:
        calibration_ids(settings, Tokenizer.from_str(assets.tokenizer_json))


def _template(assets: TokenizerAssets) -> list[str]:
    """Notes on the template. A run keeps a bundle whose template fails, so it is no problem."""
    from runtime_py.chat_template import ChatTemplate
    from runtime_py.errors import BundleRuntimeError

    plain = assets.chat_template
    assert plain is not None
    try:
        template = ChatTemplate(plain, assets.special_tokens)
        first = opening(template, _USER["content"])
    except BundleRuntimeError as error:
        return [f"chat template: unusable, so questions stay unanswered: {first_line(error)}"]
    for_tools = assets.tool_use_template or plain

    def renders(text: str, messages: Sequence[Mapping[str, Any]], extra: dict[str, Any]) -> bool:
        try:
            ChatTemplate(text, assets.special_tokens).render(messages, **extra)
        except BundleRuntimeError:
            return False
        return True

    def refused() -> Iterator[str]:
        for name, used, messages, extra in (
            ("a conversation without a system message", plain, [_USER], {}),
            ("several turns", plain, [*first, *_MORE], {}),
            ("a system message", plain, _SYSTEM, {}),
            ("tools", for_tools, first, {"tools": [TOOL]}),
        ):
            if not renders(used, messages, extra):
                yield name

    kinds = ", ".join(refused())
    return [f"chat template: renders; it refuses {kinds}"] if kinds else []
