"""Tokens that name a language: before a text, that of the text; before an answer, that of the
answer (NLLB, mBART-50, M2M-100)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from llm_export.errors import RecipeError, did_you_mean
from llm_export.models.seq2seq.options import TranslateOptions

_TOKEN = re.compile(r"(__)?([a-z]{2,3}(?:_[A-Z][A-Za-z]{1,3})?)(?(1)__)")
"""eng_Latn of NLLB, en_XX of mBART-50, __en__ of M2M-100."""
_WHERE = "model.task_options"


def languages_of(tokenizer_json: str) -> dict[str, int]:
    """Name -> id of the special tokens that name a language; empty unless there are several."""
    added = json.loads(tokenizer_json).get("added_tokens") or []
    matches = ((_TOKEN.fullmatch(each["content"]), each["id"]) for each in added)
    found = {match[2]: int(number) for match, number in matches if match is not None}
    return found if len(found) > 1 else {}


def check_languages(options: TranslateOptions, start_ids: Sequence[int] | None = None) -> None:
    """
    Args:
        start_ids: the first tokens of an answer, for models that need a language among them.

    Raises:
        RecipeError: the options name a language that the model has not, or have to name one.
    """
    for key in ("source_language", "target_language"):
        name = getattr(options, key)
        if name is not None and name not in options.languages:
            known = options.languages
            raise RecipeError(
                f"the model has no token for the language '{name}'" if known
                else "the model has no tokens that name a language",
                where=f"{_WHERE}.{key}",
                fix=did_you_mean(name, tuple(known)) if known else f"remove {_WHERE}.{key}",
            )  # fmt: skip
    if options.languages and options.target_language is None and start_ids is not None:
        if set(start_ids) & set(options.languages.values()):
            return
        raise RecipeError(
            f"the model answers in one of {len(options.languages)} languages, and nothing says "
            "which",
            where=f"{_WHERE}.target_language",
            fix=f"one of {', '.join(options.languages)}",
        )


def source_ids(options: TranslateOptions, ids: Sequence[int]) -> list[int]:
    """Tokens around a text, with the language that the options name."""
    if options.source_language is None:
        return list(ids)
    wanted, known = options.languages[options.source_language], set(options.languages.values())
    return [wanted if each in known else each for each in ids]
