"""What every checkpoint reader offers. Readers know no model: names in, tensors out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from llm_export.errors import CheckpointError


@dataclass(frozen=True)
class SourceEncoder:
    """The tokenizer as the checkpoint's authors run it: what a conversion is held against.

    Attributes:
        library: for people: sentencepiece, tiktoken.
        encode: text -> ids, special tokens in the text recognized, none added.
    """

    library: str
    encode: Callable[[str], list[int]]


@dataclass(frozen=True)
class TokenizerAssets:
    """The checkpoint's tokenizer, in the form that a bundle carries.

    Attributes:
        tokenizer_json: the text of a Hugging Face ``tokenizer.json``.
        chat_template: Jinja source, or None for a base model.
        bos_id: begin-of-sequence id, or None.
        eos_ids: ids that end a generation.
        add_bos: whether the model expects BOS before a raw prompt.
        special_tokens: name (bos_token, eos_token, ...) -> text, for the chat template.
        source: encodes from the original file by its own library; None where
            ``tokenizer_json`` is itself the original, or nothing else reads the original.
    """

    tokenizer_json: str
    chat_template: str | None
    bos_id: int | None
    eos_ids: tuple[int, ...]
    add_bos: bool
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    source: SourceEncoder | None = field(default=None, repr=False, compare=False)


class Checkpoint(Protocol):
    """An opened checkpoint.

    Attributes:
        naming: dialect of tensor names: hf, gguf, meta, or model (the decoder's own).
        format: for people: safetensors, gguf, ...
        files: the weight files, in reading order.
    """

    naming: str
    format: str
    files: tuple[Path, ...]

    def config(self) -> Mapping[str, Any]:
        """The checkpoint's own config, in its dialect."""
        ...

    def names(self) -> list[str]: ...

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Stream (name, tensor), one at a time, from memory-mapped files.

        Raises:
            CheckpointError: a file is truncated or damaged.
        """
        ...

    def tokenizer(self) -> TokenizerAssets: ...


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_file(path: Path, what: str) -> Path:
    if not path.is_file():
        raise CheckpointError(f"{what} is missing", where=str(path))
    if path.stat().st_size == 0:
        raise CheckpointError(f"{what} is empty", where=str(path), fix="fetch it again")
    return path
