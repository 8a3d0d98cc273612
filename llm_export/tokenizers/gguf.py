"""Rebuild a Hugging Face tokenizer from GGUF metadata.

``tokenizer.ggml.model`` names the algorithm and ``tokenizer.ggml.pre`` the pre-tokenizer. An
unknown name is an error, because a wrong pre-tokenizer gives plausible but wrong ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models

from llm_export.errors import CheckpointError, did_you_mean
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.gguf_pretokenizers import PRE_TOKENIZERS, WHOLE_WORDS
from llm_export.tokenizers.gguf_roles import answer_ends, strips_after
from llm_export.tokenizers.gguf_sentencepiece import sentencepiece_bpe

_CONTROL, _USER_DEFINED = 3, 4


def tokenizer_from_metadata(meta: Mapping[str, Any], where: str) -> TokenizerAssets:
    """GGUF metadata -> tokenizer, special ids and chat template.

    Raises:
        CheckpointError: the algorithm or the split is not known, or a key is missing.
    """
    try:
        kind = meta["tokenizer.ggml.model"]
        tokens: list[str] = meta["tokenizer.ggml.tokens"]
        types: list[int] = meta["tokenizer.ggml.token_type"]
    except KeyError as error:
        raise CheckpointError(f"the GGUF file lacks {error}", where=where) from None
    builders = {"gpt2": _byte_bpe, "llama": sentencepiece_bpe}
    if kind not in builders:
        raise CheckpointError(
            f"the GGUF tokenizer model '{kind}' is not known", where=where,
            fix=did_you_mean(kind, builders),
        )  # fmt: skip
    tokenizer = builders[kind](meta, tokens, types, where)
    for token, token_type in zip(tokens, types, strict=True):
        if token_type in (_CONTROL, _USER_DEFINED):
            special = token_type == _CONTROL
            rstrip = strips_after(meta, token, token_type)
            added = AddedToken(token, special=special, normalized=False, rstrip=rstrip)
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([added])

    def special_id(name: str) -> int | None:
        return meta.get(f"tokenizer.ggml.{name}_token_id")

    bos, eos = special_id("bos"), special_id("eos")
    eos_ids = [i for i in (eos, special_id("eot"), special_id("eom")) if i is not None]
    named = {"bos": bos, "eos": eos, "pad": special_id("padding"), "unk": special_id("unknown")}
    return TokenizerAssets(
        tokenizer_json=tokenizer.to_str(),
        chat_template=meta.get("tokenizer.chat_template"),
        bos_id=bos,
        eos_ids=answer_ends(tokens, eos_ids),
        add_bos=_adds_bos(meta) and bos is not None,
        special_tokens={f"{k}_token": tokens[i] for k, i in named.items() if i is not None},
    )


def _adds_bos(meta: Mapping[str, Any]) -> bool:
    """The file's setting, else llama.cpp's default: SentencePiece and Llama 3 add BOS."""
    spm = meta["tokenizer.ggml.model"] == "llama"
    takes = spm or meta.get("tokenizer.ggml.pre") in WHOLE_WORDS
    return bool(meta.get("tokenizer.ggml.add_bos_token", takes))


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
    if pre not in PRE_TOKENIZERS:
        raise CheckpointError(
            f"the GGUF pre-tokenizer '{pre}' is not known",
            where=where,
            fix=did_you_mean(str(pre), PRE_TOKENIZERS)
            + "; or give the model's Hugging Face folder, whose tokenizer.json says it all",
        )
    if "tokenizer.ggml.merges" not in meta:
        raise CheckpointError("the GGUF file lacks 'tokenizer.ggml.merges'", where=where)
    merges = [tuple(m.split(" ", 1)) for m in meta["tokenizer.ggml.merges"]]
    vocab = {token: i for i, token in enumerate(tokens)}
    model = models.BPE(vocab=vocab, merges=merges, ignore_merges=pre in WHOLE_WORDS)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
