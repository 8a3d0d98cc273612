"""Tokens that ExecuTorch's C++ runner gives, one by one, without loss.

The runner gives a text for each token, which its binding decodes as UTF-8; a token with a part of a
character ends the answer with an error. A tokenizer.json without its decoder encodes as before, and
gives each token as its vocabulary writes it: always UTF-8, and another text for each id.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime_py.guard import guarded
from runtime_py.tokenizer import TextTokenizer


def without_decoder(file: Path) -> str:
    """The content of a tokenizer.json, without its decoder.

    Raises:
        BundleRuntimeError: it cannot be read.
    """
    with guarded("the tokenizer cannot be read", where=str(file)):
        body: dict[str, Any] = json.loads(file.read_bytes())
        return json.dumps({**body, "decoder": None})


def raw_ids(tokenizer: str) -> dict[str, int]:
    """The text of each token without a decoder -> its id."""
    body = json.loads(tokenizer)
    vocabulary = body["model"]["vocab"]
    found = vocabulary if isinstance(vocabulary, dict) else \
        {piece: token for token, (piece, _) in enumerate(vocabulary)}  # fmt: skip
    return {**found, **{each["content"]: each["id"] for each in body.get("added_tokens") or ()}}


def text_of(tokenizer: TextTokenizer, ids: list[int]) -> str | None:
    """A text with these tokens, special ones included; None if there is none."""
    text = tokenizer.decode(ids, special=True)
    # Some decoders drop the space that they put before a text.
    for each in (text, f" {text}"):
        if tokenizer.encode(each, raw=False) == ids:
            return each
    return None
