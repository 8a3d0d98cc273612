"""The interface of checkpoint readers. Readers are independent of models: they map names to
tensors.
"""

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
    """Metadata of a tensor, from the file header.

    Attributes:
        dtype: f32, bf16, ..., or the name of a block type or quantized class.
    """

    shape: tuple[int, ...]
    dtype: str


class Checkpoint(Protocol):
    """An opened checkpoint. ``describe_tensors`` lists its tensors without reading their values.

    Attributes:
        naming: dialect of tensor names: hf, gguf, meta, or model (the decoder's own).
        format: name for messages: safetensors, gguf, ...
        files: the weight files, in reading order.
    """

    naming: str
    format: str
    files: tuple[Path, ...]

    def config(self) -> Mapping[str, Any]:
        """The checkpoint's own config, in its own format."""
        ...

    def names(self) -> list[str]: ...

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Stream (name, tensor) pairs, one at a time.

        Raises:
            CheckpointError: a file is truncated or damaged.
        """
        ...

    def tokenizer(self) -> TokenizerAssets: ...


@dataclass(frozen=True)
class Reader:
    """A reader for one format.

    Attributes:
        files: the files that it reads, for messages.
        fits: whether a file or folder has this format; reads only names and headers.
        open: (path, config_path or None) -> the opened checkpoint.
    """

    files: str
    fits: Callable[[Path], bool]
    open: Callable[[Path, Path | None], Checkpoint]


def describe_tensors(checkpoint: Checkpoint) -> Mapping[str, TensorInfo]:
    """Name -> shape and type, from the headers if the reader provides ``infos()``."""
    infos: Callable[[], Mapping[str, TensorInfo]] | None = getattr(checkpoint, "infos", None)
    if infos is not None:
        return infos()
    return {
        name: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in checkpoint.tensors()
    }


def remarks_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What the user should know of files that contradict each other, one line each: the reader's
    ``remarks()``, if it has one.
    """
    remarks: Callable[[], tuple[str, ...]] | None = getattr(checkpoint, "remarks", None)
    return () if remarks is None else remarks()
