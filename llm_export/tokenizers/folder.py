"""Read the tokenizer of a checkpoint folder, whatever its kind."""

from __future__ import annotations

import re
from pathlib import Path

from llm_export.errors import CheckpointError, LlmExportError, first_line
from llm_export.files import require_file
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.conversion import with_settings
from llm_export.tokenizers.hf import read_hf_tokenizer
from llm_export.tokenizers.special_tokens import read_settings

PATTERNS = ("tokenizer.model", "*.tiktoken", "tokenizer.model.v*")
"""Vocabulary file names used by publishers; the content determines the kind."""


def has_vocabulary(folder: Path) -> bool:
    """Whether the folder has a tokenizer of its own, not only settings of one."""
    return (folder / "tokenizer.json").is_file() or bool(_vocabulary_files(folder))


def _vocabulary_files(folder: Path) -> list[Path]:
    return [file for pattern in PATTERNS for file in sorted(folder.glob(pattern))]


def read_tokenizer(folder: Path) -> TokenizerAssets:
    """Read tokenizer.json if there is one; else convert a SentencePiece or tiktoken file.

    Raises:
        CheckpointError: there is none, it is of no known kind, or it is damaged.
    """
    try:
        return _read(folder)
    except LlmExportError:
        raise
    # A damaged vocabulary makes the libraries raise bare Exception, OverflowError, UnicodeError.
    except Exception as error:
        raise CheckpointError(
            f"the tokenizer is damaged: {first_line(error)}",
            where=str(folder),
            fix="fetch it again",
        ) from error


def _read(folder: Path) -> TokenizerAssets:
    if (folder / "tokenizer.json").is_file():
        return read_hf_tokenizer(folder)
    files = _vocabulary_files(folder)
    if not files and (folder / "source.spm").is_file():
        raise CheckpointError(
            "the tokenizer is Marian's: one vocabulary for texts (source.spm), one for answers "
            "(target.spm); a bundle has one",
            where=str(folder),
            fix="a model whose folder has a tokenizer.json, such as NLLB, mBART-50 or T5",
        )
    if not files:
        raise CheckpointError(
            "the folder has no tokenizer: neither tokenizer.json nor tokenizer.model",
            where=str(folder),
            fix="put the tokenizer file that was published with the weights into the folder; or "
            "save tokenizer.json with AutoTokenizer.from_pretrained(...).save_pretrained()",
        )
    path = require_file(files[0], "the tokenizer")
    with path.open("rb") as file:
        head = file.read(256)
    if re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\s", head):
        from llm_export.tokenizers.tiktoken import read_tiktoken

        source = read_tiktoken(path)
    elif head.startswith(b"\n"):  # field 1 of the protobuf message: a piece
        from llm_export.tokenizers.sentencepiece import read_sentencepiece

        source = read_sentencepiece(path)
    else:
        pointer = head.startswith(b"version https://git-lfs")
        raise CheckpointError(
            "the file is neither a SentencePiece model nor a tiktoken rank file",
            where=str(path),
            fix="it is a Git LFS pointer: run git lfs pull" if pointer else "fetch it again",
        )
    return with_settings(source, read_settings(folder), str(path))
