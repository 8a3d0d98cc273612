"""What every checkpoint reader offers. Readers know no model: names in, tensors out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_export.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


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


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor.

    Attributes:
        dtype: f32, bf16, ..., or the name of a block type or quantized class.
    """

    shape: tuple[int, ...]
    dtype: str


class Checkpoint(Protocol):
    """An opened checkpoint. ``describe_tensors`` tells what it holds without reading it.

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


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        files: what it reads, for people.
        fits: whether a file or folder is of this format; looks at names and headers only.
        open: (path, config_path or None) -> the opened checkpoint.
    """

    files: str
    fits: Callable[[Path], bool]
    open: Callable[[Path, Path | None], Checkpoint]


def describe_tensors(checkpoint: Checkpoint) -> Mapping[str, TensorInfo]:
    """Name -> shape and type: from the headers where the reader offers ``infos()``."""
    infos: Callable[[], Mapping[str, TensorInfo]] | None = getattr(checkpoint, "infos", None)
    if infos is not None:
        return infos()
    return {
        name: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in checkpoint.tensors()
    }


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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; CheckpointError if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"not valid JSON: {error}", where=str(path)) from None
    if not isinstance(value, dict):
        raise CheckpointError("not a JSON object", where=str(path))
    return value
