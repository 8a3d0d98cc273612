"""What speech models have in common: their decoder's method, and what runtimes are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from llm_export.models.contract import ModelMetadata
from llm_export.models.programs.task_model import Constant, Method, TaskModel
from llm_export.models.speech.decoder import SpeechDecoder
from llm_export.models.speech.options import TranscribeOptions

RATE = 16000
"""Samples a second of all families."""


class SpeechModel(TaskModel):
    """``encode`` keeps what the decoder attends to; ``decode`` continues an answer.

    Attributes:
        features: samples [1, N] -> what the encoder takes, of models with a method for it.
        repeated_layers: name of the decoder's layers that may be left out of a graph; empty if
            unknown.
    """

    head_name = "head"
    repeated_layers: str = "decoder.layers"
    features: nn.Module | None
    embed: nn.Embedding
    encoder: nn.Module
    decoder: SpeechDecoder
    head: nn.Linear
    tied: bool

    def describe(self, vocab_size: int, layers: int, tied: bool, context_length: int) -> None:
        self.metadata = ModelMetadata(vocab_size, layers, tied)
        self.tied, self.context_length = tied, context_length

    def encode(self, audio: Tensor) -> Tensor:
        """-> [1, T, D]."""
        raise NotImplementedError

    def heard(self) -> Tensor | None:
        """Additive mask of the encoder's outputs; None: there are always as many."""
        return None

    def decode(self, ids: Tensor, input_pos: Tensor) -> Tensor:
        """ids [1, S] at positions from ``input_pos`` [1] on -> logits [1, V] after the last of
        them, or [1, S, V] if ``all_logits``.
        """
        x = self.decoder(self.embed(ids), input_pos, self.heard())
        return self.head(x if self.all_logits else x[:, -1])

    def decoder_method(self, options: TranscribeOptions, dynamic: bool) -> Method:
        self.all_logits = options.all_logits
        length = 3 if dynamic and self.context_length > 3 else 1
        dims = {1: Dim("tokens", min=1, max=self.context_length)} if length > 1 else None
        return Method(
            "decoder", DecodeMethod(self),
            (torch.zeros(1, length, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)),
            (dims, None), self.repeated_layers and f"model.{self.repeated_layers}",
        )  # fmt: skip

    def settings(self, options: TranscribeOptions) -> dict[str, Any]:
        return {
            "sample_rate": RATE,
            "target_length": self.context_length,
            "start_ids": list(options.start_ids),
            "eos_ids": list(options.eos_ids),
            "languages": dict(options.languages),
            "tasks": dict(options.tasks),
            "no_timestamps_id": options.no_timestamps_id,
            "timestamp_begin": options.timestamp_begin,
            "no_speech_id": options.no_speech_id,
            "previous_id": options.previous_id,
            "suppress_ids": list(options.suppress_ids),
            "begin_suppress_ids": list(options.begin_suppress_ids),
            "max_initial_timestamp": options.max_initial_timestamp,
            "alignment_heads": [list(each) for each in options.alignment_heads],
        }

    def constants(self, options: TranscribeOptions) -> dict[str, Constant]:
        return {
            "get_max_seq_len": self.context_length,
            "get_max_context_len": self.context_length,
            "get_vocab_size": self.metadata.vocab_size,
        }

    def set_attention(self, kind: str) -> int:
        self.attention_kind = kind
        changed = self.decoder.set_attention(kind)
        self.init_buffers()
        return changed

    def token_tables(self) -> Sequence[nn.Module]:
        return [self.embed]

    def tie(self) -> None:
        if self.tied:
            self.head.weight = self.embed.weight

    def init_buffers(self) -> None:
        for name, module in self.named_modules():
            fill = getattr(module, "init_buffers", None)
            if name and fill is not None:
                fill()


class FeaturesMethod(nn.Module):
    def __init__(self, model: SpeechModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, samples: Tensor) -> Tensor:
        assert self.model.features is not None
        made: Tensor = self.model.features(samples)
        return made


class EncodeMethod(nn.Module):
    def __init__(self, model: SpeechModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio: Tensor) -> Tensor:
        return self.model.encode(audio)


class DecodeMethod(nn.Module):
    def __init__(self, model: SpeechModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, input_pos: Tensor) -> Tensor:
        return self.model.decode(ids, input_pos)
