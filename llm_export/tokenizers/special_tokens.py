"""Settings files next to a tokenizer: special tokens, chat template, EOS ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError

SPECIALS = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class FolderSettings:
    """Tokenizer settings of the folder; each may be absent.

    Attributes:
        specials: name (bos_token, eos_token, ...) -> text.
        chat_template: Jinja source.
        eos_ids: ids that end a generation, from generation_config.json, else config.json.
        add_bos: whether BOS is put before a raw prompt; None if not stated.
        added: id -> attributes of tokens that were added to the vocabulary, or whose role
            was changed: content, special, lstrip, rstrip, single_word.
    """

    specials: Mapping[str, str]
    chat_template: str | None
    eos_ids: tuple[int, ...]
    add_bos: bool | None
    added: Mapping[int, Mapping[str, Any]]


def read_settings(folder: Path) -> FolderSettings:
    """Read tokenizer_config.json, special_tokens_map.json, added_tokens.json,
    generation_config.json, config.json and chat_template.jinja, as far as they exist.

    Raises:
        CheckpointError: one is not valid.
    """
    tokenizer = _optional_json(folder / "tokenizer_config.json")
    named = {**_optional_json(folder / "special_tokens_map.json"), **tokenizer}
    return FolderSettings(
        specials={k: _content(named[k]) for k in SPECIALS if named.get(k)},
        chat_template=_chat_template(folder, tokenizer),
        eos_ids=_eos_ids(folder),
        add_bos=tokenizer.get("add_bos_token"),
        added=_added_tokens(folder, tokenizer),
    )


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    value = settings.get("chat_template")
    if isinstance(value, list):  # several named templates
        return next((t["template"] for t in value if t.get("name") == "default"), None)
    return value


def _eos_ids(folder: Path) -> tuple[int, ...]:
    ids: list[int] = []
    for name in ("generation_config.json", "config.json"):
        said = _optional_json(folder / name).get("eos_token_id")
        ids += said if isinstance(said, list) else [] if said is None else [said]
    return tuple(dict.fromkeys(ids))


def _added_tokens(folder: Path, settings: dict[str, Any]) -> dict[int, Mapping[str, Any]]:
    table = settings.get("added_tokens_decoder")
    try:
        if table:
            return {int(i): {**token, "content": token["content"]} for i, token in table.items()}
        older = _optional_json(folder / "added_tokens.json")
        # Unless stated otherwise, an added token is a control token of the chat format.
        return {int(i): {"content": text, "special": True} for text, i in older.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the list of added tokens is not valid: {error!r}", where=str(folder)
        ) from None


def _content(value: Any) -> str:
    return value["content"] if isinstance(value, dict) else str(value)


def _optional_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"not valid JSON: {error}", where=str(path)) from None
