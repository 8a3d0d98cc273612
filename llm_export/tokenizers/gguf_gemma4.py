"""BPE vocabularies of GGUF files whose texts are escaped as SentencePiece does it: Gemma 4.

Merges are stored, and no pre-tokenizer cuts the text. https://github.com/ggml-org/llama.cpp,
``src/llama-vocab.cpp``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from llm_export.tokenizers.gguf_merges import bpe_model
from llm_export.tokenizers.gguf_roles import BYTE, special_ids


def escaped_bpe(
    meta: Mapping[str, Any], tokens: list[str], types: list[int], where: str
) -> Tokenizer:
    """The tokenizer without its added tokens, except runs of line ends.

    Raises:
        CheckpointError: the merges are not of the vocabulary.
    """
    unknown = special_ids(meta, tokens, where).get("unknown")
    model: models.BPE = bpe_model(
        meta, tokens, where, fuse_unk=True, byte_fallback=BYTE in types,
        unk_token=None if unknown is None else tokens[unknown],
    )  # fmt: skip
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    # Runs of line ends are looked up whole, and no merge produces them.
    runs = [token for token in tokens if len(token) > 1 and not token.strip("\n")]
    tokenizer.add_tokens([AddedToken(run, normalized=False) for run in runs])
    return tokenizer
