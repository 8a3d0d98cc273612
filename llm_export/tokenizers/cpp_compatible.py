"""The tokenizer.json that a bundle carries: the checkpoint's, as phones can run it."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class PhoneTokenizer:
    """
    Attributes:
        text: of the bundle's tokenizer.json.
        nfc: text must be brought to Unicode's normal form C before it is encoded.
    """

    text: str
    nfc: bool


def to_cpp_compatible(tokenizer_json: str) -> PhoneTokenizer:
    """Take the NFC normalizer out of a tokenizer (Qwen's have one).

    ExecuTorch's C++ tokenizer (pytorch_tokenizers 1.5.0) decomposes characters and drops the
    accents: its "café" is "cafe". Without the normalizer it is right for text in form C,
    which nearly all text is; runtime_py brings text to it, and apps can (Android's
    ``Normalizer``, Swift's ``precomposedStringWithCanonicalMapping``).
    """
    body = json.loads(tokenizer_json)
    normalizer = body.get("normalizer") or {}
    steps = normalizer.get("normalizers") or [normalizer]
    if steps[0].get("type") != "NFC":
        return PhoneTokenizer(tokenizer_json, nfc=False)
    rest = steps[1:]
    body["normalizer"] = {"type": "Sequence", "normalizers": rest} if rest else None
    return PhoneTokenizer(json.dumps(body, ensure_ascii=False), nfc=True)
