"""A checkpoint with what other files of its folder say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors, remarks_of
from llm_export.tokenizers.base import TokenizerAssets

if TYPE_CHECKING:
    from torch import Tensor


class WithOtherFiles:
    """``inner``, a Hugging Face folder, as it is; subclasses add what the files say.

    Args:
        added: keys of its config.
    """

    naming = "hf"

    def __init__(self, inner: Checkpoint, added: Mapping[str, Any]) -> None:
        self.inner, self._added = inner, added
        self.format = inner.format
        self.files: tuple[Path, ...] = inner.files

    def config(self) -> Mapping[str, Any]:
        return {**self.inner.config(), **self._added}

    def names(self) -> list[str]:
        return self.inner.names()

    def infos(self) -> Mapping[str, TensorInfo]:
        return describe_tensors(self.inner)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return self.inner.tensors()

    def tokenizer(self) -> TokenizerAssets:
        return self.inner.tokenizer()

    def remarks(self) -> tuple[str, ...]:
        return remarks_of(self.inner)


def alone(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without what other files say."""
    return checkpoint.inner if isinstance(checkpoint, WithOtherFiles) else checkpoint
