"""A tokenizer converted to tokenizer.json, together with its original."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.tokenizers.base import SourceEncoder, TokenizerAssets
from llm_export.tokenizers.special_tokens import FolderSettings


@dataclass(frozen=True)
class ConvertedTokenizer:
    """The result of reading a vocabulary file.

    Attributes:
        tokenizer: the conversion, a ``tokenizers.Tokenizer``.
        library: the original's own library.
        encode: text -> ids by that library, from the original file.
        unfound: special tokens that the library does not recognize in a text: text -> id.
        specials: name (bos_token, ...) -> text, from the file or its publisher.
        eos_ids: ids that end a generation, from the same source.
        add_bos: whether the models with this vocabulary expect BOS.
    """

    tokenizer: Any
    library: str
    encode: Callable[[str], list[int]]
    unfound: Mapping[str, int]
    specials: Mapping[str, str]
    eos_ids: tuple[int, ...]
    add_bos: bool


def with_settings(
    source: ConvertedTokenizer, settings: FolderSettings, where: str
) -> TokenizerAssets:
    """Combine a converted vocabulary with the settings files in its folder, which take precedence.

    Raises:
        CheckpointError: an added or special token is not of this vocabulary.
    """
    tokenizer = source.tokenizer
    _add_tokens(tokenizer, settings.added, where)
    specials = {**source.specials, **settings.specials}
    ids = {name: tokenizer.token_to_id(text) for name, text in specials.items()}
    for name in ("bos_token", "eos_token"):
        if name in specials and ids[name] is None:
            raise CheckpointError(
                f"the {name} {specials[name]!r} is not in the vocabulary", where=where
            )
    eos = [
        *settings.generation.eos_ids,
        *([ids["eos_token"]] if "eos_token" in ids else []),
        *source.eos_ids,
    ]
    for token in eos:
        if tokenizer.id_to_token(token) is None:
            size = tokenizer.get_vocab_size()
            raise CheckpointError(
                f"the end-of-sequence id {token} is beyond the tokenizer's vocabulary of {size}",
                where=f"{where}, generation_config.json or config.json",
                fix="the tokenizer and the configs are of different models: fetch them again",
            )
    bos = ids.get("bos_token")
    add_bos = source.add_bos if settings.add_bos is None else settings.add_bos
    extra = {token["content"]: (i, token) for i, token in settings.added.items()}
    found = {**{text: (i, {}) for text, i in source.unfound.items()}, **extra}
    return TokenizerAssets(
        tokenizer_json=tokenizer.to_str(),
        chat_template=settings.templates.default,
        tool_use_template=settings.templates.tool_use,
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(eos)),
        add_bos=add_bos and bos is not None,
        special_tokens={name: text for name, text in specials.items() if ids[name] is not None},
        generation=settings.generation,
        source=SourceEncoder(source.library, _around(found, source.encode)),
    )


def _add_tokens(tokenizer: Any, added: Mapping[int, Mapping[str, Any]], where: str) -> None:
    from tokenizers import AddedToken

    for i, token in sorted(added.items()):
        text = token["content"]
        flags = {k: bool(token.get(k, False)) for k in ("special", "lstrip", "rstrip")}
        known = tokenizer.id_to_token(i)
        # A token whose text is already in the vocabulary keeps its id.
        if known is None or known == text:
            tokenizer.add_tokens([AddedToken(text, normalized=False, **flags)])
        if tokenizer.token_to_id(text) != i:
            other = f"that id is {known!r}" if known else "the ids before it are not all there"
            raise CheckpointError(
                f"the added token {text!r} cannot have id {i}: {other} in the vocabulary of "
                f"{tokenizer.get_vocab_size()}",
                where=f"{where}, tokenizer_config.json or added_tokens.json",
                fix="the files are of different models: fetch them again",
            )


def _around(
    tokens: Mapping[str, tuple[int, Mapping[str, Any]]], encode: Callable[[str], list[int]]
) -> Callable[[str], list[int]]:
    """Encode the text between special tokens separately.

    The publishers' code does the same: it encodes each part of a prompt separately and inserts the
    ids of special tokens in between.
    """
    if not tokens:
        return encode

    def pattern(text: str) -> str:
        flags = tokens[text][1]
        left, right = (r"\s*" if flags.get(side) else "" for side in ("lstrip", "rstrip"))
        return f"{left}{re.escape(text)}{right}"

    longest_first = sorted(tokens, key=len, reverse=True)
    splitter = re.compile("(" + "|".join(map(pattern, longest_first)) + ")")

    def encode_all(text: str) -> list[int]:
        ids: list[int] = []
        for index, part in enumerate(splitter.split(text)):
            if index % 2:
                ids.append(tokens[part if part in tokens else part.strip()][0])
            elif part:
                ids += encode(part)
        return ids

    return encode_all
