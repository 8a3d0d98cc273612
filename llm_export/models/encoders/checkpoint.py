"""A Hugging Face folder with the files of sentence-transformers beside the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors, remarks_of
from llm_export.models.encoders.dense_config import KEY
from llm_export.models.encoders.sentence_transformers import SentenceFiles, read_sentence_files
from llm_export.tokenizers.base import TokenizerAssets

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.checkpoints.spans import Span


class SentenceCheckpoint:
    """``encoder`` with the dense layers after pooling: in its config, and their tensors under the
    names ``dense.0.linear.weight`` and so on.

    Raises:
        CheckpointError: a weights file of a dense layer is damaged.
    """

    naming = "hf"

    def __init__(self, encoder: Checkpoint, files: SentenceFiles) -> None:
        from llm_export.checkpoints.safetensors import read_header

        self.encoder, self.sentence = encoder, files
        self.format = f"{encoder.format}, sentence-transformers"
        self.files: tuple[Path, ...] = (*encoder.files, *files.weights)
        self._dense: dict[str, Span] = {
            f"dense.{i}.{name}": span
            for i, path in enumerate(files.weights)
            for name, span in read_header(path)[0].items()
        }

    def config(self) -> Mapping[str, Any]:
        dense = [dict(layer) for layer in self.sentence.dense]
        return {**self.encoder.config(), **({KEY: dense} if dense else {})}

    def names(self) -> list[str]:
        return [*self.encoder.names(), *self._dense]

    def infos(self) -> Mapping[str, TensorInfo]:
        dense = {name: span.info for name, span in self._dense.items()}
        return {**describe_tensors(self.encoder), **dense}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        from llm_export.checkpoints.spans import read_span

        yield from self.encoder.tensors()
        for name, span in self._dense.items():
            yield name, read_span(span)

    def tokenizer(self) -> TokenizerAssets:
        return self.encoder.tokenizer()

    def remarks(self) -> tuple[str, ...]:
        return remarks_of(self.encoder)


def with_sentence_files(checkpoint: Checkpoint) -> Checkpoint:
    """``checkpoint`` itself, unless ``modules.json`` lies beside its weights.

    Raises:
        CheckpointError: the files are damaged, or say something that is not implemented.
    """
    if checkpoint.naming != "hf" or not checkpoint.files:
        return checkpoint
    files = read_sentence_files(checkpoint.files[0].parent)
    return checkpoint if files is None else SentenceCheckpoint(checkpoint, files)


def task_options(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What the files say of the task's options; empty if there are none."""
    return checkpoint.sentence.options if isinstance(checkpoint, SentenceCheckpoint) else {}


def whole_of(checkpoint: Checkpoint) -> Checkpoint:
    """The encoder's folder without what sentence-transformers adds."""
    return checkpoint.encoder if isinstance(checkpoint, SentenceCheckpoint) else checkpoint
