"""What every checkpoint reader offers. Readers know no model: names in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_export.tokenizers.base import TokenizerAssets

if TYPE_CHECKING:
    from torch import Tensor


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
