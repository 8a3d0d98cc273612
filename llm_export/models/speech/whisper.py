"""Whisper (arXiv:2212.04356)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.registry import NORMS
from llm_export.models.programs.task_model import Method
from llm_export.models.speech.config import WhisperConfig
from llm_export.models.speech.decoder import SpeechDecoder
from llm_export.models.speech.encoder import EncoderLayer
from llm_export.models.speech.mel import LogMel, MelConfig
from llm_export.models.speech.model import RATE, EncodeMethod, FeaturesMethod, SpeechModel
from llm_export.models.speech.options import TranscribeOptions
from llm_export.models.speech.whisper_ids import with_known_ids

_SHRINK = 2
"""Frames of the spectrogram per output of the encoder."""


class WhisperEncoder(nn.Module):
    """Spectrogram [1, bands, 2 * T] -> [1, T, D]."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        c, hidden = config.encoder, config.encoder.hidden
        self.conv1 = nn.Conv1d(config.mel_bands, hidden, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(hidden, hidden, kernel_size=3, stride=_SHRINK, padding=1)
        self.positions = nn.Parameter(torch.empty(config.source_positions, hidden))
        self.layers = nn.ModuleList(EncoderLayer(c) for _ in range(c.layers))
        self.norm = NORMS.get(c.norm.kind)(hidden, c.norm)

    def forward(self, features: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(features))))[0].transpose(0, 1) + self.positions
        for layer in self.layers:
            x = layer(x)
        normed: Tensor = self.norm(x)
        return normed[None]


class Whisper(SpeechModel):
    """Audio of one fixed length, padded with silence: the encoder has learned positions, and no
    mask.
    """

    features: LogMel

    def __init__(self, config: WhisperConfig, context_length: int) -> None:
        super().__init__()
        self.config = config
        layers = config.encoder.layers + config.decoder.layers
        self.describe(config.vocab_size, layers, config.tied, context_length)
        self.features = LogMel(MelConfig(config.mel_bands, RATE))
        self.embed = nn.Embedding(config.vocab_size, config.decoder.hidden)
        self.encoder = WhisperEncoder(config)
        self.decoder = SpeechDecoder(
            config.decoder, context_length, config.source_positions, config.target_positions
        )
        self.head = nn.Linear(config.decoder.hidden, config.vocab_size, bias=False)

    @property
    def frames(self) -> int:
        return self.config.source_positions * _SHRINK

    @property
    def samples(self) -> int:
        return self.frames * self.features.config.hop

    def encode(self, audio: Tensor) -> Tensor:
        """Spectrogram [1, bands, frames] -> [1, T, D]."""
        hidden: Tensor = self.encoder(audio)
        self.decoder.listen(hidden)
        return hidden

    def methods(self, options: TranscribeOptions, *, dynamic: bool) -> tuple[Method, ...]:
        features = Method(
            "features", FeaturesMethod(self), (torch.zeros(1, self.samples),), (None,),
        )  # fmt: skip
        encoder = Method(
            "encoder", EncodeMethod(self), (torch.zeros(1, self.config.mel_bands, self.frames),),
            (None,), "model.encoder.layers",
        )  # fmt: skip
        return features, encoder, self.decoder_method(options, dynamic)

    def settings(self, options: TranscribeOptions) -> dict[str, Any]:
        told = with_known_ids(options, self.config.vocab_size)
        return {
            **super().settings(told),
            "chunk_seconds": self.samples / RATE,
            "time_precision": _SHRINK * self.features.config.hop / RATE,
        }
