"""The composable decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention_cores import KINDS, CoreFactory, CoreShape
from llm_export.models.components.registry import BLOCKS, NORMS
from llm_export.models.components.rope import RotaryTables
from llm_export.models.components.step import Step
from llm_export.models.config import DecoderConfig
from llm_export.models.contract import LanguageModel, ModelFacts


class Decoder(LanguageModel):
    """tokens [B, S] int64, input_pos [1] int64 -> logits [B, S or 1, V].

    ``all_logits`` asks for the logits of every position; a program that only generates
    needs the last one's, which saves the output head's work during prefill.
    """

    def __init__(
        self, config: DecoderConfig, context_length: int, attention: str, all_logits: bool
    ) -> None:
        super().__init__()
        self.config = config
        self.context_length = context_length
        self.all_logits = all_logits
        self.facts = ModelFacts(config.vocab_size, config.num_layers, config.tied_embeddings)
        self.attention_kind = attention
        core = self._core_factory(attention)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.ropes = nn.ModuleList(RotaryTables(rope, context_length) for rope in config.ropes)
        self.planner = KINDS[attention][0](context_length, config.windows)
        self.layers = nn.ModuleList(
            BLOCKS.get(layer.kind)(config.hidden_size, layer, core) for layer in config.layers
        )
        self.norm = NORMS.get(config.norm.kind)(config.hidden_size, config.norm)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)

    def _core_factory(self, kind: str) -> CoreFactory:
        core = KINDS[kind][1]
        return lambda shape: core(shape, self.context_length)

    def set_attention(self, kind: str) -> int:
        core, changed = self._core_factory(kind), 0
        for layer in self.layers:
            shape = layer.attention.core_shape  # type: ignore[union-attr]
            assert isinstance(shape, CoreShape)
            layer.attention.core = core(shape)  # type: ignore[union-attr]
            changed += 1
        self.planner = KINDS[kind][0](self.context_length, self.config.windows)
        self.attention_kind = kind
        self.init_buffers()
        return changed

    def input_embedding(self) -> nn.Module:
        return self.embed

    def init_buffers(self) -> None:
        for name, module in self.named_modules():
            fill = getattr(module, "init_buffers", None)
            if name and fill is not None:
                fill()

    def forward(self, tokens: Tensor, input_pos: Tensor) -> Tensor:
        positions = input_pos + torch.arange(tokens.shape[1], device=tokens.device)
        masks, start = self.planner(input_pos, positions)
        step = Step(positions, tuple(rope(positions) for rope in self.ropes), masks, start)
        x = self.embed(tokens)
        if self.config.embedding_scale != 1.0:
            x = x * self.config.embedding_scale
        for layer in self.layers:
            x = layer(x, step)
        if not self.all_logits:
            x = x[:, -1:]
        logits = self.head(self.norm(x))
        if self.config.logit_scale != 1.0:
            logits = logits * self.config.logit_scale
        if self.config.logit_softcap is not None:
            logits = torch.tanh(logits / self.config.logit_softcap) * self.config.logit_softcap
        return logits
