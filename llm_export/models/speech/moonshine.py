"""Moonshine (arXiv:2410.15608)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from llm_export.models.components.registry import NORMS
from llm_export.models.programs.task_model import Method
from llm_export.models.seq2seq.cross_attention import SourceMask
from llm_export.models.speech.attention import PairedRotaryTables
from llm_export.models.speech.config import MoonshineConfig
from llm_export.models.speech.decoder import SpeechDecoder
from llm_export.models.speech.encoder import EncoderLayer
from llm_export.models.speech.model import RATE, EncodeMethod, SpeechModel
from llm_export.models.speech.options import TranscribeOptions

_CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))
"""(kernel, stride) of the stem."""

_STEP, _SHORT = 384, 128
"""A program takes ``384 * n - 128`` samples, the fewest for n - 2 outputs and a multiple of the
stem's first stride. With any number of them torch.export proves nothing about the number of
outputs, which is then a rounded quotient.
"""

_FEWEST = 5
"""The smallest n."""

_TOKENS_PER_SECOND = 6.5
"""Most tokens for a second of speech, by the authors; more are hallucinations."""


def outputs_of(samples: int) -> int:
    """Outputs of the encoder for that many samples; a symbol for a symbol."""
    for kernel, stride in _CONVOLUTIONS:
        samples = (samples - kernel) // stride + 1
    return samples


def _steps(options: TranscribeOptions) -> int:
    """The largest n; see ``_STEP``."""
    return (int(options.max_seconds * RATE) + _SHORT) // _STEP


class MoonshineEncoder(nn.Module):
    """samples [1, N] -> [1, T, D]; see ``outputs_of``."""

    def __init__(self, config: MoonshineConfig, slots: int) -> None:
        super().__init__()
        c, hidden = config.encoder, config.encoder.hidden
        channels = (1, hidden, 2 * hidden, hidden)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels[i], channels[i + 1], kernel, stride, bias=i > 0)
            for i, (kernel, stride) in enumerate(_CONVOLUTIONS)
        )
        self.stem_norm = nn.GroupNorm(1, hidden, eps=1e-5)
        self.ropes = self.tables(config, slots)
        self.layers = nn.ModuleList(EncoderLayer(c) for _ in range(c.layers))
        self.norm = NORMS.get(c.norm.kind)(hidden, c.norm)

    @staticmethod
    def tables(config: MoonshineConfig, slots: int) -> PairedRotaryTables:
        c = config.encoder
        assert c.rope is not None
        return PairedRotaryTables(c.rope, slots, c.head_dim, c.heads)

    def forward(self, samples: Tensor) -> Tensor:
        first, second, third = self.convolutions
        x = self.stem_norm(torch.tanh(first(samples[:, None])))
        x = F.gelu(third(F.gelu(second(x))))[0].transpose(0, 1)
        rotation = self.ropes.cos[: x.shape[0]], self.ropes.sin[: x.shape[0]]
        for layer in self.layers:
            x = layer(x, self.ropes, rotation)
        normed: Tensor = self.norm(x)
        return normed[None]


class Moonshine(SpeechModel):
    """Audio of any length up to a limit, without padding."""

    def __init__(self, config: MoonshineConfig, context_length: int) -> None:
        super().__init__()
        self.config = config
        layers = config.encoder.layers + config.decoder.layers
        self.describe(config.vocab_size, layers, config.tied, context_length)
        slots = outputs_of(int(TranscribeOptions.max_seconds * RATE))
        self.embed = nn.Embedding(config.vocab_size, config.decoder.hidden)
        self.encoder = MoonshineEncoder(config, slots)
        self.source = SourceMask(slots)
        self.decoder = SpeechDecoder(config.decoder, context_length, slots, None)
        self.head = nn.Linear(config.decoder.hidden, config.vocab_size, bias=False)

    def hold(self, slots: int) -> None:
        """Make room for that many outputs of the encoder."""
        if slots == self.source.slots:
            return
        kept = self.source.hidden
        with kept.device:
            self.source = SourceMask(slots)
            self.encoder.ropes = MoonshineEncoder.tables(self.config, slots)
            self.decoder.hold(slots)
        if not kept.is_meta:
            self.init_buffers()

    def encode(self, audio: Tensor) -> Tensor:
        """samples [1, N] -> [1, T, D]."""
        if not torch.compiler.is_exporting():
            self.hold(max(self.source.slots, outputs_of(audio.shape[1])))
        hidden: Tensor = self.encoder(audio)
        self.source.fill(torch.ones(1, hidden.shape[1], dtype=torch.int64))
        self.decoder.listen(hidden)
        return hidden

    def heard(self) -> Tensor | None:
        return self.source()

    def methods(self, options: TranscribeOptions, *, dynamic: bool) -> tuple[Method, ...]:
        most = _steps(options)
        self.hold(outputs_of(most * _STEP - _SHORT))
        example, dims = most, None
        if dynamic and most > _FEWEST:  # else a single length
            example = min(_FEWEST + 2, most)
            dims = {1: _STEP * Dim("steps", min=_FEWEST, max=most) - _SHORT}
        samples = torch.zeros(1, example * _STEP - _SHORT)
        encoder = Method(
            "encoder", EncodeMethod(self), (samples,), (dims,), "model.encoder.layers",
        )  # fmt: skip
        return encoder, self.decoder_method(options, dynamic)

    def settings(self, options: TranscribeOptions) -> dict[str, Any]:
        told = super().settings(options)
        if not told["start_ids"]:
            told["start_ids"] = [self.config.start_id]
        if not told["eos_ids"]:
            told["eos_ids"] = list(self.config.eos_ids)
        return {
            **told,
            "min_seconds": (_FEWEST * _STEP - _SHORT) / RATE,
            "max_seconds": (_steps(options) * _STEP - _SHORT) / RATE,
            "samples_multiple": _STEP,
            "samples_less": _SHORT,
            "tokens_per_second": options.tokens_per_second or _TOKENS_PER_SECOND,
        }
