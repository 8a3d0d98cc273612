"""Settings files next to a tokenizer: special tokens, added tokens, chat template.

Where the files contradict each other, the order of precedence is that of transformers 5
(``PreTrainedTokenizerBase.from_pretrained``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.files import optional_json
from llm_export.tokenizers.chat_templates import FILE as TEMPLATE
from llm_export.tokenizers.chat_templates import ChatTemplates, read_chat_templates
from llm_export.tokenizers.generation import GenerationSettings, read_generation

SPECIALS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class FolderSettings:
    """Tokenizer settings of the folder; each may be absent.

    Attributes:
        specials: name (bos_token, eos_token, ...) -> text. A chat template sees these names.
        unset: names that the files set to null.
        extra: further special tokens, without a name.
        templates: for chats.
        generation: what ends a generation, and how the next token is sampled.
        add_bos: whether BOS is put before a raw prompt; None if not stated. A tokenizer.json
            states it itself, by its post-processor.
        added: id -> attributes of tokens that were added to the vocabulary, or whose role
            was changed: content, special, lstrip, rstrip, single_word, normalized.
        stated_in: the file that ``added`` comes from.
    """

    specials: Mapping[str, str]
    unset: frozenset[str]
    extra: tuple[str, ...]
    templates: ChatTemplates
    generation: GenerationSettings
    add_bos: bool | None
    added: Mapping[int, Mapping[str, Any]]
    stated_in: str = CONFIG


def read_settings(folder: Path) -> FolderSettings:
    """Read tokenizer_config.json, special_tokens_map.json, added_tokens.json,
    generation_config.json, config.json and the chat templates, as far as they exist.

    ``added_tokens_decoder`` of tokenizer_config.json takes the place of special_tokens_map.json
    and added_tokens.json. Without it, special_tokens_map.json precedes tokenizer_config.json.

    Raises:
        CheckpointError: one is not valid.
    """
    config = optional_json(folder / CONFIG)
    whole = "added_tokens_decoder" in config
    older = {} if whole else optional_json(folder / MAP)
    named = {**config, **older}
    try:
        # New tokens get ids in this order: those with the usual names first.
        names = [*SPECIALS, *(k for k in named if k not in SPECIALS)]
        specials = {k: content(named[k]) for k in names if _is_special(k, named.get(k))}
        extra = _extra_tokens(config, older)
        specials |= extra.named
        if whole:
            added = {int(i): _attributes(t) for i, t in config["added_tokens_decoder"].items()}
        else:
            # transformers looks up these, before it converts the objects of tokenizer_config.json.
            usual = [specials[k] for k in SPECIALS
                     if k in specials and (k in older or isinstance(named[k], str))]  # fmt: skip
            added = _legacy(folder, {*usual, *extra.listed})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the special or added tokens are not valid: {error!r}",
            where=f"{folder}, {CONFIG}, {MAP} or {ADDED}",
        ) from None
    return FolderSettings(
        specials=specials,
        unset=frozenset(k for k in SPECIALS if k in named and k not in specials),
        extra=extra.unnamed,
        templates=read_chat_templates(folder, config.get("chat_template")),
        generation=read_generation(folder),
        add_bos=config.get("add_bos_token"),
        added=added,
        stated_in=CONFIG if whole else ADDED,
    )


@dataclass(frozen=True)
class _Extra:
    """Special tokens with names of their own, without names, and those of the latter that have not
    the older key of special_tokens_map.json.
    """

    named: Mapping[str, str]
    unnamed: tuple[str, ...]
    listed: tuple[str, ...]


def _extra_tokens(config: Mapping[str, Any], older: Mapping[str, Any]) -> _Extra:
    """``extra_special_tokens``, a list or name -> text, and ``additional_special_tokens``, which
    counts where there is no list under the other key.
    """
    named: dict[str, str] = {}
    listed: list[str] = []
    stated = config.get("extra_special_tokens") or config.get("additional_special_tokens")
    for value in (stated, older.get("extra_special_tokens")):
        if isinstance(value, Mapping):
            named |= {name: content(token) for name, token in value.items()}
        else:
            listed += [content(token) for token in value or ()]
    last = () if listed else (older.get("additional_special_tokens") or ())
    unnamed = dict.fromkeys([*listed, *map(content, last)])
    return _Extra(named, tuple(unnamed), tuple(listed))


def has_settings(folder: Path) -> bool:
    """Whether the folder has settings of a tokenizer, with or without its vocabulary."""
    files = (CONFIG, MAP, ADDED, TEMPLATE)
    return any((folder / name).is_file() for name in files)


def _is_special(name: str, value: Any) -> bool:
    """Names of other kinds, such as image_token, are the model's own."""
    if not value:
        return False
    return name in SPECIALS or (
        name.endswith("_token") and (isinstance(value, str) or "content" in _mapping(value))
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _legacy(folder: Path, special: set[str]) -> dict[int, Mapping[str, Any]]:
    table = optional_json(folder / ADDED)
    return {
        int(i): {"content": text, "special": text in special, "normalized": text not in special}
        for text, i in table.items()
    }


def _attributes(token: Mapping[str, Any]) -> Mapping[str, Any]:
    flags = {key: bool(token[key]) for key in FLAGS if token.get(key) is not None}
    return {"content": str(token["content"]), **flags}


def content(value: Any) -> str:
    """The text of a token, which files store as text or as an object."""
    return str(value["content"]) if isinstance(value, Mapping) else str(value)
