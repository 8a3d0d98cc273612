"""A Hugging Face folder with the files of sentence-transformers beside the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.base import Checkpoint, TensorInfo
from llm_export.checkpoints.beside import WithOtherFiles
from llm_export.models.encoders.dense_config import KEY
from llm_export.models.encoders.sentence_transformers import SentenceFiles, read_sentence_files

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.checkpoints.spans import Span


class SentenceCheckpoint(WithOtherFiles):
    """An encoder with the dense layers after pooling: in its config, and their tensors under the
    names ``dense.0.linear.weight`` and so on.

    Raises:
        CheckpointError: a weights file of a dense layer is damaged.
    """

    def __init__(self, encoder: Checkpoint, files: SentenceFiles) -> None:
        from llm_export.checkpoints.safetensors import read_header

        dense = [dict(layer) for layer in files.dense]
        super().__init__(encoder, {KEY: dense} if dense else {})
        self.sentence = files
        self.format = f"{encoder.format}, sentence-transformers"
        self.files = (*encoder.files, *files.weights)
        self._dense: dict[str, Span] = {
            f"dense.{i}.{name}": span
            for i, path in enumerate(files.weights)
            for name, span in read_header(path)[0].items()
        }

    def names(self) -> list[str]:
        return [*super().names(), *self._dense]

    def infos(self) -> Mapping[str, TensorInfo]:
        dense = {name: span.info for name, span in self._dense.items()}
        return {**super().infos(), **dense}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        from llm_export.checkpoints.spans import read_span

        yield from super().tensors()
        for name, span in self._dense.items():
            yield name, read_span(span)


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
