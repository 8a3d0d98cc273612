"""The composable decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention import Attention
from llm_export.models.components.attention_cores import KINDS, CoreShape
from llm_export.models.components.feed_forward import GatedFeedForward
from llm_export.models.components.norm import RMSNorm
from llm_export.models.components.rope import RotaryTables
from llm_export.models.components.step import Step
from llm_export.models.config import DecoderConfig
from llm_export.models.contract import LanguageModel, ModelFacts


class DecoderLayer(nn.Module):
    """Pre-norm residual block: [B, S, D] -> [B, S, D]."""

    def __init__(self, config: DecoderConfig, core: nn.Module) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.attention = Attention(config, core)
        self.ffn_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.feed_forward = GatedFeedForward(
            config.hidden_size, config.ffn_size, config.activation, config.mlp_bias
        )

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = x + self.attention(self.attention_norm(x), step)
        return x + self.feed_forward(self.ffn_norm(x))


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
        planner, core = KINDS[attention]
        shape = CoreShape(config.num_heads, config.num_kv_heads, config.head_dim, context_length)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.rope = RotaryTables(config.rope, context_length)
        self.planner = planner(context_length)
        self.layers = nn.ModuleList(
            DecoderLayer(config, core(shape)) for _ in range(config.num_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def set_attention(self, kind: str) -> int:
        planner, core = KINDS[kind]
        changed = 0
        for module in self.modules():
            if isinstance(module, Attention):
                shape = CoreShape(
                    module.num_heads, module.num_kv_heads, module.head_dim, self.context_length
                )
                module.core = core(shape)
                changed += 1
        self.planner = planner(self.context_length)
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
        cos, sin = self.rope(positions)
        mask, start = self.planner(input_pos, positions)
        step = Step(positions, cos, sin, mask, start)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, step)
        if not self.all_logits:
            x = x[:, -1:]
        return self.head(self.norm(x))
