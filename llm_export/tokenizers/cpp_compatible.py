"""The bundle's tokenizer.json: the checkpoint's, changed so that ExecuTorch's C++ tokenizer runs
it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class PhoneTokenizer:
    """
    Attributes:
        text: of the bundle's tokenizer.json.
        nfc: whether text must be normalized to Unicode NFC before it is encoded.
    """

    text: str
    nfc: bool


def to_cpp_compatible(tokenizer_json: str) -> PhoneTokenizer:
    """Remove the NFC normalizer from a tokenizer (Qwen's have one).

    ExecuTorch's C++ tokenizer (pytorch_tokenizers 1.5.0) decomposes characters and drops the
    accents: "café" becomes "cafe". Without the normalizer it is correct for text in NFC, which
    nearly all text is. runtime_py normalizes text itself, and apps can too (Android's
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
