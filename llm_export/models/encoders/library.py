"""Any text encoder of the transformers library, as it stands: the generic tier of ``embed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.beside import alone
from llm_export.compat.fake_loading import needs_values
from llm_export.errors import CheckpointError
from llm_export.models.contract import ModelMetadata
from llm_export.models.encoders.checkpoint import (
    SentenceCheckpoint,
    task_options,
    with_sentence_files,
)
from llm_export.models.encoders.config import EncoderConfig
from llm_export.models.encoders.dense_config import KEY, dense_layers
from llm_export.models.encoders.model import EncoderModel
from llm_export.models.encoders.options import plan_of
from llm_export.models.encoders.pooled import DenseLayers
from llm_export.models.hf.auto_class import ENCODER
from llm_export.models.hf.config import build_model
from llm_export.models.hf.prepare import drop_padding
from llm_export.models.hf.weights import filled_model
from llm_export.models.load_weights import Coverage
from llm_export.models.programs.library_task import LibraryTask
from llm_export.models.programs.task_model import TaskModel

_ANY_LENGTH = 1 << 30


class LibraryEncoder(EncoderModel):
    """A transformers model in the place of our own components; pooling and all after it are ours.

    Args:
        stated: config.json, with the dense layers of sentence-transformers.

    Raises:
        CheckpointError: the model takes other inputs than token ids and a mask.
    """

    repeated_layers = ""

    def __init__(self, hf: nn.Module, stated: Mapping[str, Any], context_length: int) -> None:
        TaskModel.__init__(self)
        config: Any = hf.config
        pad = getattr(config, "pad_token_id", None)
        self.config = EncoderConfig(
            family=str(config.model_type), vocab_size=int(config.vocab_size),
            hidden_size=int(config.hidden_size), max_positions=context_length, layers=(),
            pad_id=0 if pad is None else int(pad), dense=dense_layers(stated),
        )  # fmt: skip
        self.context_length = context_length
        layers = int(getattr(config, "num_hidden_layers", 1))
        self.metadata = ModelMetadata(self.config.vocab_size, layers, False)
        self.hf = hf
        for table in self.token_tables():
            drop_padding(table)
        self.dense = DenseLayers(self.config.dense)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden: Tensor = self.hf(input_ids=ids, attention_mask=mask, return_dict=True)[0]
        return hidden

    def layer_chain(self) -> Sequence[nn.Module]:
        """The library's layers take arguments of their own."""
        return ()

    def token_tables(self) -> Sequence[nn.Module]:
        embedding: nn.Module = self.hf.get_input_embeddings()  # type: ignore[operator]
        return [embedding]

    def init_buffers(self) -> None:
        """The library's buffers are set when its model is built."""


def library_encoder(
    config: Any, checkpoint: Checkpoint, stated: Mapping[str, Any], context_length: int, seed: int
) -> tuple[LibraryEncoder, Coverage]:
    """The model with the tensors of a checkpoint, or with random ones.

    Raises:
        CheckpointError: names or shapes do not fit, or the model takes other inputs.
    """
    hf, coverage = filled_model(config, alone(checkpoint), seed, ENCODER)
    model = LibraryEncoder(hf, stated, context_length)
    if isinstance(checkpoint, SentenceCheckpoint):
        _fill_dense(model, checkpoint)
    return model.eval().requires_grad_(False), coverage


def outline(config: Any, stated: Mapping[str, Any], context_length: int) -> LibraryEncoder:
    """The model without values, run once on the meta device.

    Raises:
        CheckpointError: it cannot be built, or does not run on token ids and a mask.
    """
    with torch.device("meta"):
        model = LibraryEncoder(build_model(config, ENCODER), stated, context_length).eval()
        try:
            with torch.no_grad():
                # A mask would be looked at, and has no values here.
                model.hf(input_ids=torch.zeros(1, 2, dtype=torch.int64))
        except Exception as error:  # each model fails in its own way
            if needs_values(error):
                return model.requires_grad_(False)
            raise CheckpointError(
                f"'{config.model_type}' does not run on token ids: "
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                where="model.config.model_type",
                fix="the task embed takes encoders of texts",
            ) from error
    return model.requires_grad_(False)


def _fill_dense(model: LibraryEncoder, checkpoint: SentenceCheckpoint) -> None:
    parameters = dict(model.dense.named_parameters())
    for name, tensor in checkpoint.tensors():
        if not name.startswith("dense."):
            continue
        target = name.removeprefix("dense.").replace(".linear.", ".")
        if target not in parameters or parameters[target].shape != tensor.shape:
            raise CheckpointError(f"'{name}' has no place after pooling", where=checkpoint.format)
        parameters[target].data.copy_(tensor.float())


def _check(model: TaskModel, options: Any, context_length: int | None) -> None:
    assert isinstance(model, LibraryEncoder)
    plan_of(options, model.config, context_length or _ANY_LENGTH)


LIBRARY = LibraryTask(
    auto=ENCODER,
    build=library_encoder,
    outline=outline,
    check=_check,
    opened=with_sentence_files,
    options=task_options,
    added_keys=(KEY,),
)
