"""T5 (arXiv:1910.10683): an encoder, a decoder with caches, and their methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from llm_export.models.components.attention_cores.planners import HIDDEN, causal_mask
from llm_export.models.components.norm import RMSNorm
from llm_export.models.contract import ModelMetadata
from llm_export.models.programs.task_model import Constant, Method, TaskModel
from llm_export.models.seq2seq.cross_attention import SourceMask, additive
from llm_export.models.seq2seq.relative_bias import RelativeBias
from llm_export.models.seq2seq.t5_config import T5Config
from llm_export.models.seq2seq.t5_layers import DecoderLayer, EncoderLayer


class T5(TaskModel):
    """``encode`` fills the cross-attention caches, ``decode`` reads them.

    Sources have up to ``context_length`` tokens, and so have targets.
    """

    head_name = "head"

    def __init__(self, config: T5Config, context_length: int) -> None:
        super().__init__()
        self.config, self.context_length = config, context_length
        layers = config.layers + config.decoder_layers
        self.metadata = ModelMetadata(config.vocab_size, layers, config.tied)
        self.embed = nn.Embedding(config.vocab_size, config.hidden)
        self.encoder_bias = self._bias(both_ways=True)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.encoder_norm = RMSNorm(config.hidden, config.norm)
        self.source_mask = SourceMask(context_length)
        self.decoder_bias = self._bias(both_ways=False)
        self.decoder = nn.ModuleList(
            DecoderLayer(config, context_length, context_length)
            for _ in range(config.decoder_layers)
        )
        self.decoder_norm = RMSNorm(config.hidden, config.norm)
        self.head = nn.Linear(config.hidden, config.vocab_size, bias=False)
        self.tie()

    def _bias(self, both_ways: bool) -> RelativeBias:
        c = self.config
        return RelativeBias(
            c.buckets, c.heads, self.context_length, longest=c.longest, both_ways=both_ways
        )

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids and mask [1, S] -> [1, S, D]; the caches then hold this source."""
        # Of a fixed length they would be constants, and the bias of each pair of positions and head
        # one in the file, larger than all weights: they are made to depend on an input.
        positions = torch.arange(ids.shape[1]) + 0 * mask[0]
        bias = self.encoder_bias(positions, positions) + additive(mask)
        x = self.embed(ids)
        for layer in self.encoder:
            x = layer(x, bias)
        x = self.encoder_norm(x)
        self.source_mask.fill(mask)
        for layer in self.decoder:
            layer.cross.fill(x)  # type: ignore[union-attr, operator]
        return x

    def decode(self, ids: Tensor, input_pos: Tensor) -> Tensor:
        """ids [1, S] at positions from ``input_pos`` [1] on -> logits [1, V] after the last, or
        [1, S, V] if ``all_logits``."""
        positions = input_pos + torch.arange(ids.shape[1])
        slots = torch.arange(self.context_length)
        hidden = causal_mask(slots, positions, None).to(torch.float32) * HIDDEN
        bias = self.decoder_bias(positions, slots) + hidden
        x, source = self.embed(ids), self.source_mask()
        for layer in self.decoder:
            x = layer(x, positions, bias, source)
        x = self.decoder_norm(x if self.all_logits else x[:, -1])
        return self.head(x * self.config.hidden**-0.5 if self.config.scaled else x)

    def methods(self, options: Any, *, dynamic: bool) -> tuple[Method, ...]:
        source, step = (self.context_length, 1) if not dynamic else (min(4, self.context_length), 2)
        ids = torch.zeros(1, source, dtype=torch.int64)
        tokens = {1: Dim("tokens", min=1, max=self.context_length)} if dynamic else None
        steps = {1: Dim("steps", min=1, max=self.context_length)} if dynamic else None
        start = torch.zeros(1, dtype=torch.int64)
        return (
            Method(
                "encoder", Encoder(self), (ids, torch.ones_like(ids)), (tokens, tokens),
                "model.encoder", last_apart=True,
            ),
            Method(
                "decoder", Decoder(self), (ids[:, :step], start), (steps, None), "model.decoder",
            ),
        )  # fmt: skip

    def settings(self, options: Any) -> dict[str, Any]:
        return {
            "start_ids": [self.config.start_id],
            "eos_ids": [self.config.eos_id],
            "source_suffix": [self.config.eos_id],
            "pad_id": self.config.pad_id,
            "source_length": self.context_length,
            "target_length": self.context_length,
            "prefixes": dict(getattr(options, "prefixes", {})),
        }

    def constants(self, options: Any) -> dict[str, Constant]:
        return {
            "get_max_seq_len": self.context_length, "get_max_context_len": self.context_length,
            "get_vocab_size": self.config.vocab_size, "get_eos_ids": [self.config.eos_id],
        }  # fmt: skip

    def token_tables(self) -> Sequence[nn.Module]:
        return [self.embed]

    def scale_random(self) -> None:
        """Queries as published models begin: they have the factor that scores do without."""
        for name, weight in self.named_parameters():
            if name.endswith(".q.weight"):
                weight.mul_(self.config.head_dim**-0.5)

    def tie(self) -> None:
        if self.config.tied:
            self.head.weight = self.embed.weight

    def init_buffers(self) -> None:
        for module in self.modules():
            fill = getattr(module, "init_buffers", None)
            if module is not self and fill is not None:
                fill()


class Encoder(nn.Module):
    """The method ``encoder``."""

    def __init__(self, model: T5) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.encode(ids, mask)


class Decoder(nn.Module):
    """The method ``decoder``."""

    def __init__(self, model: T5) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, input_pos: Tensor) -> Tensor:
        return self.model.decode(ids, input_pos)
