"""A layer of the encoder."""

from __future__ import annotations

from torch import Tensor, nn

from llm_export.models.components.registry import FEED_FORWARDS, NORMS
from llm_export.models.speech.attention import EncoderAttention, PairedRotaryTables
from llm_export.models.speech.config import StackConfig


class EncoderLayer(nn.Module):
    """[T, D] -> [T, D]."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        norm = NORMS.get(config.norm.kind)
        self.attention_norm = norm(config.hidden, config.norm)
        self.attention = EncoderAttention(config)
        self.ffn_norm = norm(config.hidden, config.norm)
        self.feed_forward = FEED_FORWARDS.get(config.ffn.kind)(config.hidden, config.ffn)

    def forward(
        self,
        x: Tensor,
        ropes: PairedRotaryTables | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), ropes, rotation)
        fed: Tensor = self.feed_forward(self.ffn_norm(x))
        return x + fed
