"""The merges of a GGUF file's BPE vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import models

from llm_export.errors import CheckpointError
from llm_export.tokenizers.gguf_values import list_of


def bpe_model(
    meta: Mapping[str, Any], tokens: list[str], where: str, **particulars: Any
) -> models.BPE:
    """
    Args:
        particulars: further arguments of ``tokenizers.models.BPE``.

    Raises:
        CheckpointError: a merge has one part, or is not of the vocabulary.
    """
    merges = [_merge(text, where) for text in list_of(meta, "merges", str, where)]
    vocab = {token: i for i, token in enumerate(tokens)}
    try:
        return models.BPE(vocab=vocab, merges=merges, **particulars)
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(
            f"the merges of the GGUF file are not of its vocabulary: {error}",
            where=f"{where}, tokenizer.ggml.merges",
            fix="fetch it again, or convert the model anew",
        ) from None


def _merge(text: str, where: str) -> tuple[str, str]:
    """The two parts; the first may begin with a space."""
    cut = text.find(" ", 1)
    if cut < 0:
        raise CheckpointError(f"a merge of the GGUF file has one part: {text!r}", where=where)
    return text[:cut], text[cut + 1 :]
