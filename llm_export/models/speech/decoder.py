"""The decoder of speech models: self-attention with a cache, attention to the audio."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention_cores import KINDS, CacheLimits, CoreFactory
from llm_export.models.components.attention_cores.layout import Ring
from llm_export.models.components.registry import FEED_FORWARDS, NORMS
from llm_export.models.components.step import Step
from llm_export.models.seq2seq.cross_attention import CrossAttention
from llm_export.models.speech.attention import CachedAttention, PairedRotaryTables
from llm_export.models.speech.config import StackConfig


class DecoderLayer(nn.Module):
    """[1, S, D] -> [1, S, D].

    Args:
        slots: most outputs of the encoder.
    """

    def __init__(self, config: StackConfig, core: CoreFactory, slots: int) -> None:
        super().__init__()
        norm = NORMS.get(config.norm.kind)
        self.attention_norm = norm(config.hidden, config.norm)
        self.attention = CachedAttention(config, core)
        self.cross_norm = norm(config.hidden, config.norm)
        self.cross = CrossAttention(
            config.hidden, config.hidden, config.heads, config.head_dim, slots,
            scale=config.head_dim**-0.5, bias=config.bias, key_bias=config.key_bias,
        )  # fmt: skip
        self.ffn_norm = norm(config.hidden, config.norm)
        self.feed_forward = FEED_FORWARDS.get(config.ffn.kind)(config.hidden, config.ffn)

    def forward(
        self, x: Tensor, step: Step, ropes: PairedRotaryTables | None, hidden: Tensor | None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), step, ropes)
        x = x + self.cross(self.cross_norm(x), hidden)
        fed: Tensor = self.feed_forward(self.ffn_norm(x))
        return x + fed


class SpeechDecoder(nn.Module):
    """Embedded tokens [1, S, D] and their first position [1] -> [1, S, D].

    Args:
        context_length: slots of the cache of its own tokens.
        slots: most outputs of the encoder.
        learned: whether positions have learned embeddings; else it is RoPE.
    """

    def __init__(
        self, config: StackConfig, context_length: int, slots: int, positions: int | None
    ) -> None:
        super().__init__()
        self.config, self.context_length = config, context_length
        core = self._choose("plain")
        self.positions: nn.Parameter | None = None
        if positions is not None:
            self.positions = nn.Parameter(torch.empty(positions, config.hidden))
        self.ropes: PairedRotaryTables | None = None
        if config.rope is not None:
            self.ropes = PairedRotaryTables(config.rope, context_length, config.head_dim)
        self.planner = KINDS["plain"].planner(self._rings)
        self.layers = nn.ModuleList(DecoderLayer(config, core, slots) for _ in range(config.layers))
        self.norm = NORMS.get(config.norm.kind)(config.hidden, config.norm)

    def _choose(self, kind: str) -> CoreFactory:
        layout = KINDS[kind].layout(CacheLimits(self.context_length, self.context_length))
        core = KINDS[kind].core
        self._rings: dict[int | None, Ring] = {None: layout(None)}
        return lambda shape: core(shape, layout)

    def set_attention(self, kind: str) -> int:
        core = self._choose(kind)
        for layer in self.layers:
            attention = layer.attention
            attention.core = core(attention.core_shape)  # type: ignore[union-attr, arg-type]
            layer.cross.set_fused(KINDS[kind].operators)  # type: ignore[union-attr, operator]
        self.planner = KINDS[kind].planner(self._rings)
        return len(self.layers)

    def hold(self, slots: int) -> None:
        """Make room for that many outputs of the encoder; the caches are then empty."""
        for layer in self.layers:
            layer.cross.resize(slots)  # type: ignore[operator]

    def listen(self, hidden: Tensor) -> None:
        """Keep the keys and values of the encoder's output [1, T, D]."""
        for layer in self.layers:
            layer.cross.fill(hidden)  # type: ignore[union-attr, operator]

    def forward(self, x: Tensor, input_pos: Tensor, hidden: Tensor | None = None) -> Tensor:
        """``hidden``: additive, which outputs of the encoder there are; None: all."""
        positions = input_pos + torch.arange(x.shape[1], device=x.device)
        planned = self.planner(input_pos, positions)
        if self.positions is not None:
            x = x + self.positions[positions]
        rotations = () if self.ropes is None else (self.ropes(positions),)
        step = Step(planned.plans, rotations, start=planned.start)
        for layer in self.layers:
            x = layer(x, step, self.ropes, hidden)
        return self.norm(x)
