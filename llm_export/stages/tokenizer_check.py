"""The bundle's tokenizer gives the ids of the checkpoint's."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from llm_export.checkpoints.base import TokenizerAssets
from llm_export.errors import VerificationError
from runtime_py.tokenizer import TextTokenizer


def compare_tokenizers(
    source: TokenizerAssets, bundled: TextTokenizer, corpus_json: str
) -> dict[str, Any]:
    """Encode each string of a JSON list with both; special tokens of the model are added to it.

    Raises:
        VerificationError: naming the first strings that differ.
    """
    reference = Tokenizer.from_str(source.tokenizer_json)
    texts: list[str] = json.loads(corpus_json)
    texts += [f"{text}a{text}\n{text} b" for text in source.special_tokens.values()]
    differing = []
    compared = 0
    for text in texts:
        expected = reference.encode(text, add_special_tokens=False).ids
        actual = bundled.encode(text, raw=False)
        compared += len(expected)
        if actual != expected:
            differing.append(text)
    if differing:
        raise VerificationError(
            f"the bundle's tokenizer differs from the checkpoint's on {len(differing)} of "
            f"{len(texts)} strings: {differing[0]!r}",
            where="tokenizer.json",
        )
    return {"strings": len(texts), "ids": compared, "equal": True}
