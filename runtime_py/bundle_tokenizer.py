"""The tokenizer of a bundle."""

from __future__ import annotations

from pathlib import Path

from runtime_py.bundle import Bundle
from runtime_py.tokenizer import TextTokenizer


def load_tokenizer(path: str | Path) -> TextTokenizer:
    """Load a bundle's tokenizer; its program need not run on this machine."""
    return tokenizer_of(Bundle.open(path))


def tokenizer_of(bundle: Bundle) -> TextTokenizer:
    """The tokenizer of an open bundle that has one."""
    tokens, file = bundle.manifest["tokenizer"], bundle.file("tokenizer")
    assert file is not None
    return TextTokenizer(
        file,
        bos_id=tokens["bos_id"],
        eos_ids=tokens["eos_ids"],
        add_bos=tokens["add_bos"],
        nfc=tokens.get("normalization") == "NFC",
    )
