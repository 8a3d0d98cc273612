"""Rebuild a Hugging Face tokenizer from GGUF metadata.

``tokenizer.ggml.model`` names the algorithm and ``tokenizer.ggml.pre`` the pre-tokenizer. An
unknown name is an error, because a wrong pre-tokenizer gives plausible but wrong ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders

from llm_export.errors import CheckpointError, did_you_mean
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.gguf_gemma4 import escaped_bpe
from llm_export.tokenizers.gguf_generation import generation_of
from llm_export.tokenizers.gguf_merges import bpe_model
from llm_export.tokenizers.gguf_pretokenizers import ADD_BOS, PRE_TOKENIZERS, WHOLE_WORDS
from llm_export.tokenizers.gguf_roles import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    read_roles,
    strips_after,
)
from llm_export.tokenizers.gguf_sentencepiece import sentencepiece_bpe
from llm_export.tokenizers.gguf_values import list_of, per_token

_SPECIAL = (UNKNOWN, CONTROL)


def tokenizer_from_metadata(meta: Mapping[str, Any], where: str) -> TokenizerAssets:
    """GGUF metadata -> tokenizer, special ids, chat template and sampling settings.

    Raises:
        CheckpointError: the algorithm or the split is not known, a key is missing or contradicts
            another, or a text is to be followed by a token.
    """
    kind = meta.get("tokenizer.ggml.model")
    if kind is None:
        raise CheckpointError("the GGUF file lacks 'tokenizer.ggml.model'", where=where)
    builders = {"gpt2": _byte_bpe, "llama": sentencepiece_bpe, "gemma4": escaped_bpe}
    if not isinstance(kind, str) or kind not in builders:
        raise CheckpointError(
            f"the GGUF tokenizer model '{kind}' is not known", where=where,
            fix=did_you_mean(str(kind), builders),
        )  # fmt: skip
    tokens = _tokens(meta, where)
    types = [NORMAL] * len(tokens)
    if "tokenizer.ggml.token_type" in meta:
        types = per_token(meta, "token_type", int, tokens, where)
    roles = read_roles(meta, tokens, types, where)
    tokenizer = builders[kind](meta, tokens, list(roles.kinds), where)
    for token, token_type in zip(tokens, roles.kinds, strict=True):
        if token_type in (*_SPECIAL, USER_DEFINED):
            special = token_type in _SPECIAL
            rstrip = strips_after(meta, token, token_type)
            added = AddedToken(token, special=special, normalized=False, rstrip=rstrip)
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([added])
    _refuse_tokens_after(meta, where)
    named = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}
    return TokenizerAssets(
        tokenizer_json=tokenizer.to_str(),
        # Without a default, llama.cpp takes the one for tools for all conversations.
        chat_template=_template(meta, "", where) or _template(meta, ".tool_use", where),
        tool_use_template=_template(meta, ".tool_use", where),
        bos_id=roles.ids.get("bos"),
        eos_ids=roles.ends,
        add_bos=_adds_bos(meta, roles.ids.get("bos"), where),
        special_tokens={f"{named[k]}_token": tokens[i] for k, i in roles.ids.items() if k in named},
        generation=generation_of(meta, where),
    )


def _template(meta: Mapping[str, Any], suffix: str, where: str) -> str | None:
    key = f"tokenizer.chat_template{suffix}"
    value = meta.get(key)
    if value is not None and not isinstance(value, str):
        raise CheckpointError(f"the chat template is no text: {value!r}", where=f"{where}, {key}")
    return value or None


def _tokens(meta: Mapping[str, Any], where: str) -> list[str]:
    texts = list_of(meta, "tokens", str, where)
    tokens = [text or f"[EMPTY_{i}]" for i, text in enumerate(texts)]
    first: dict[str, int] = {}
    for i, text in enumerate(tokens):
        if first.setdefault(text, i) != i:
            raise CheckpointError(
                f"the GGUF vocabulary has the token {text!r} twice, as {first[text]} and {i}",
                where=f"{where}, tokenizer.ggml.tokens",
                fix="convert the model anew, or give its Hugging Face folder",
            )
    return tokens


def _adds_bos(meta: Mapping[str, Any], bos: int | None, where: str) -> bool:
    """The file's setting, else llama.cpp's default: SentencePiece and Llama 3 add BOS. Gemma 4
    always does, whatever earlier converters wrote.
    """
    stated = meta.get("tokenizer.ggml.add_bos_token")
    if stated and bos is None:
        raise CheckpointError(
            "the GGUF file has add_bos_token, and no bos_token_id of its vocabulary",
            where=f"{where}, tokenizer.ggml.add_bos_token",
            fix="gguf-set-metadata FILE tokenizer.ggml.add_bos_token 0, or convert it anew",
        )
    takes = (
        meta["tokenizer.ggml.model"] == "llama" or str(meta.get("tokenizer.ggml.pre")) in ADD_BOS
    )
    always = meta["tokenizer.ggml.model"] == "gemma4"
    return bool(always or (takes if stated is None else stated)) and bos is not None


def _refuse_tokens_after(meta: Mapping[str, Any], where: str) -> None:
    for name in ("add_eos_token", "add_sep_token"):
        if meta.get(f"tokenizer.ggml.{name}"):
            raise CheckpointError(
                f"the GGUF file has {name}: a runtime puts one token before a text, and none after",
                where=f"{where}, tokenizer.ggml.{name}",
                fix=f"gguf-set-metadata FILE tokenizer.ggml.{name} 0, if the model generates text",
            )


def _byte_bpe(
    meta: Mapping[str, Any], tokens: list[str], types: list[int], where: str
) -> Tokenizer:
    pre = meta.get("tokenizer.ggml.pre", "default")
    if pre == "default":
        # llama.cpp guesses here, with a warning; no model was trained with its guess.
        raise CheckpointError(
            "the GGUF file does not name the pre-tokenizer of its vocabulary",
            where=f"{where}, tokenizer.ggml.pre",
            fix="convert the model anew, or give its Hugging Face folder",
        )
    if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
        raise CheckpointError(
            f"the GGUF pre-tokenizer '{pre}' is not known",
            where=where,
            fix=did_you_mean(str(pre), PRE_TOKENIZERS)
            + "; or give the model's Hugging Face folder, whose tokenizer.json says it all",
        )
    model = bpe_model(meta, tokens, where, ignore_merges=pre in WHOLE_WORDS)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
