"""Tokenizer, chat template and special ids of a Hugging Face folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.files import read_text
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.special_tokens import CONFIG, FLAGS, FolderSettings, read_settings

FILE = "tokenizer.json"
_PROBE = "a"


def read_hf_tokenizer(folder: Path) -> TokenizerAssets:
    """Read tokenizer.json and the settings files next to it, which may add tokens, or change the
    role of some.

    Raises:
        CheckpointError: there is no tokenizer.json, a file is not valid, or two of them disagree
            on a token's id.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(
            "the folder has no tokenizer.json",
            where=str(folder),
            fix="save it with transformers: AutoTokenizer.from_pretrained(...).save_pretrained()",
        )
    return with_folder_settings(read_text(path), read_settings(folder), str(path))


def with_folder_settings(text: str, settings: FolderSettings, where: str) -> TokenizerAssets:
    """A tokenizer.json, with the settings of its folder or of another one.

    Raises:
        CheckpointError: as ``read_hf_tokenizer``.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"not a valid tokenizer: {error}", where=where) from None
    if tokenizer.padding is not None and "pad_token" not in {*settings.specials, *settings.unset}:
        padding = {"pad_token": tokenizer.padding["pad_token"]}
        settings = replace(settings, specials={**settings.specials, **padding})
    if _complete(tokenizer, settings, where):
        text = tokenizer.to_str()
    specials, generation = settings.specials, settings.generation
    bos = tokenizer.token_to_id(specials["bos_token"]) if "bos_token" in specials else None
    eos = tokenizer.token_to_id(specials["eos_token"]) if "eos_token" in specials else None
    before, around = _put_around_text(tokenizer)
    eos_ids = (*generation.eos_ids, *(() if eos is None else (eos,)))
    return TokenizerAssets(
        tokenizer_json=text,
        chat_template=settings.templates.default,
        tool_use_template=settings.templates.tool_use,
        bos_id=bos if before is None else before,
        eos_ids=tuple(dict.fromkeys(eos_ids)),
        add_bos=before is not None,
        special_tokens=specials,
        generation=generation,
        around=around,
    )


def _complete(tokenizer: Any, settings: FolderSettings, where: str) -> bool:
    """Add what the settings files add; return whether that changes the tokenizer."""
    changed = tokenizer.truncation is not None or tokenizer.padding is not None
    # Neither belongs to the model: both are what somebody's training script had enabled last.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    former = tokenizer.get_added_tokens_decoder()
    tokenizer.add_tokens(_tokens_to_add(former, settings))
    for i, token in settings.added.items():
        text = token["content"]
        found = tokenizer.token_to_id(text)
        if found != i:
            raise CheckpointError(
                f"{settings.stated_in} gives the token {text!r} the id {i}, and {FILE} gives it "
                f"{found}",
                where=where,
                fix="the files are of different models: fetch them again, or correct the id",
            )
    return changed or _described(tokenizer.get_added_tokens_decoder()) != _described(former)


def _tokens_to_add(former: dict[int, Any], settings: FolderSettings) -> list[Any]:
    """The tokens that transformers adds, in its order: those with ids, then special ones.

    The library keeps the id of a known token, and takes over its flags.
    """
    from tokenizers import AddedToken

    named = set(settings.specials.values())
    listed = [dict(token) for _, token in sorted(settings.added.items())]
    if settings.stated_in != CONFIG:
        # Without a list in tokenizer_config.json, that of tokenizer.json precedes the other.
        there = [_attributes(token) for _, token in sorted(former.items())]
        texts = {token["content"] for token in there}
        listed = [token for token in listed if token["content"] not in texts] + there
    # The library does not make a special token an ordinary one again.
    named |= {token.content for token in former.values() if token.special}
    for token in listed:
        token["special"] = bool(token.get("special")) or token["content"] in named
    known = {token.content for token in former.values()} | {t["content"] for t in listed}
    rest = dict.fromkeys((*settings.specials.values(), *settings.extra))
    listed += [{"content": text, "special": True} for text in rest if text not in known]
    return [AddedToken(**token) for token in listed]


def _attributes(token: Any) -> dict[str, Any]:
    return {key: getattr(token, key) for key in ("content", *FLAGS)}


def _described(tokens: dict[int, Any]) -> list[str]:
    return sorted(f"{i}: {token!r}" for i, token in tokens.items())


def _put_around_text(tokenizer: Any) -> tuple[int | None, str | None]:
    """The id that the post-processor puts before a text, or None; and what else it adds."""
    plain = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    whole = tokenizer.encode(_PROBE).ids
    if whole == plain:
        return None, None
    if plain and len(whole) == len(plain) + 1 and whole[1:] == plain:
        return int(whole[0]), None
    return None, f"the post-processor of {FILE} makes {whole} of the ids {plain}"
