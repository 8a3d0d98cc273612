"""Rebuild a Hugging Face tokenizer from GGUF metadata.

``tokenizer.ggml.model`` names the algorithm, ``tokenizer.ggml.pre`` how text is split
before it. The splits below are those of the original tokenizers; an unknown name is an
error, because a wrong split gives plausible but wrong ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from llm_export.checkpoints import splits
from llm_export.checkpoints.base import TokenizerAssets
from llm_export.checkpoints.merges import merges_from_scores
from llm_export.errors import CheckpointError, did_you_mean

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6


def _byte_level(use_regex: bool = True) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def _digits_then_bytes() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _byte_level()])


def _split_then_bytes(pattern: str) -> Callable[[], Any]:
    return lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), _byte_level(use_regex=False)]
    )


PRE_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "gpt-2": _byte_level,
    "smollm": _digits_then_bytes,
    "llama-bpe": _split_then_bytes(splits.LLAMA3),
    "qwen2": _split_then_bytes(splits.QWEN2),
}


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
    builders = {"gpt2": _byte_bpe, "llama": _sentencepiece_bpe}
    if kind not in builders:
        raise CheckpointError(
            f"the GGUF tokenizer model '{kind}' is not known", where=where,
            fix=did_you_mean(kind, builders),
        )  # fmt: skip
    tokenizer = builders[kind](meta, tokens, types, where)
    for token, token_type in zip(tokens, types, strict=True):
        if token_type in (_CONTROL, _USER_DEFINED):
            special = token_type == _CONTROL
            added = AddedToken(token, special=special, normalized=False)
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
        eos_ids=tuple(dict.fromkeys(eos_ids)),
        add_bos=_adds_bos(meta) and bos is not None,
        special_tokens={f"{k}_token": tokens[i] for k, i in named.items() if i is not None},
    )


def _adds_bos(meta: Mapping[str, Any]) -> bool:
    """What the file says; else llama.cpp's default: SentencePiece and Llama 3 take BOS."""
    takes = meta["tokenizer.ggml.model"] == "llama" or meta.get("tokenizer.ggml.pre") == "llama-bpe"
    return bool(meta.get("tokenizer.ggml.add_bos_token", takes))


def _byte_bpe(
    meta: Mapping[str, Any], tokens: list[str], types: list[int], where: str
) -> Tokenizer:
    pre = meta.get("tokenizer.ggml.pre")
    if pre not in PRE_TOKENIZERS:
        raise CheckpointError(
            f"the GGUF pre-tokenizer '{pre}' is not known",
            where=where,
            fix=did_you_mean(str(pre), PRE_TOKENIZERS)
            + "; or give the model's Hugging Face folder, whose tokenizer.json says it all",
        )
    merges = [tuple(m.split(" ", 1)) for m in meta["tokenizer.ggml.merges"]]
    vocab = {token: i for i, token in enumerate(tokens)}
    # llama3's vocabulary holds words that no merge builds: whole words are looked up first.
    model = models.BPE(vocab=vocab, merges=merges, ignore_merges=pre == "llama-bpe")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece_bpe(
    meta: Mapping[str, Any], tokens: list[str], types: list[int], where: str
) -> Tokenizer:
    """SentencePiece BPE with byte fallback: merges follow from the scores."""
    scores = meta["tokenizer.ggml.scores"]
    vocab = {token: i for i, token in enumerate(tokens)}
    prefix = meta.get("tokenizer.ggml.add_space_prefix", True)
    typed = list(zip(tokens, scores, types, strict=True))
    normal = {token: score for token, score, kind in typed if kind == _NORMAL}
    runs = [t for t, _, kind in typed if kind == _USER_DEFINED and set(t) == {"▁"}]
    merges = merges_from_scores(normal, () if prefix else runs)
    unknown = meta.get("tokenizer.ggml.unknown_token_id", 0)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocab, merges=merges, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True
        )
    )
    steps = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    undo = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(undo + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    return tokenizer
