"""Check what a local checkpoint says of text: tokenizer and chat template; see ``preflight.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError, Problem
from llm_export.stages.load import require_enough_text
from llm_export.stages.verification.source_check import TOOL
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.chat_opening import opening
from llm_export.tokenizers.usable import usable_tokenizer

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
        assets = open_checkpoint(recipe.checkpoint, shapes).tokenizer()
        compare = recipe.verify.enabled and recipe.verify.tokenizer
        _, changes = usable_tokenizer(assets, vocab_size, compare=compare)
        require_enough_text(recipe, assets)
    except LlmExportError as error:
        where = error.where or "checkpoint"
        return [Problem(error.what, where, error.fix or "another checkpoint")], []
    if not assets.chat_template:
        return [], [*changes, "chat template: none; questions are continued as plain text"]
    problems, notes = _template(assets)
    return problems, [*changes, *notes]


def _template(assets: TokenizerAssets) -> tuple[list[Problem], list[str]]:
    from runtime_py.chat_template import ChatTemplate
    from runtime_py.errors import BundleRuntimeError

    assert assets.chat_template is not None
    try:
        template = ChatTemplate(assets.chat_template, assets.special_tokens)
        first = opening(template, _USER["content"])
        for_tools = assets.tool_use_template or assets.chat_template
        with_tools = ChatTemplate(for_tools, assets.special_tokens)
    except BundleRuntimeError as error:
        return [Problem(error.what, "chat_template", error.fix or "correct the template")], []

    def refused() -> Iterator[str]:
        for name, used, messages, extra in (
            ("a conversation without a system message", template, [_USER], {}),
            ("several turns", template, [*first, *_MORE], {}),
            ("a system message", template, _SYSTEM, {}),
            ("tools", with_tools, first, {"tools": [TOOL]}),
        ):
            if not _renders(used, messages, extra):
                yield name

    kinds = ", ".join(refused())
    return [], [f"chat template: renders; it refuses {kinds}"] if kinds else []


def _renders(template: Any, messages: Sequence[Mapping[str, Any]], extra: dict[str, Any]) -> bool:
    from runtime_py.errors import BundleRuntimeError

    try:
        template.render(messages, **extra)
    except BundleRuntimeError:
        return False
    return True
