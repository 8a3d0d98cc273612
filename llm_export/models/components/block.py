"""Decoder blocks [B, S, D] -> [B, S, D], which differ in the placement of norms and residual sums.

All use the names ``attention`` and ``feed_forward``. A norm is named after its successor
(``attention_norm``, ``ffn_norm``) or its predecessor (``attention_post_norm``, ...).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory
from llm_export.models.components.registry import ATTENTIONS, FEED_FORWARDS, NORMS
from llm_export.models.components.step import Step
from llm_export.models.config import LayerConfig


class Block(nn.Module):
    """Base class of all blocks."""

    norms: ClassVar[tuple[str, ...]]
    attention: nn.Module
    feed_forward: nn.Module
    # A block has the norms named in ``norms``.
    attention_norm: nn.Module
    attention_post_norm: nn.Module
    ffn_norm: nn.Module
    ffn_post_norm: nn.Module

    def __init__(self, hidden: int, config: LayerConfig, core: CoreFactory) -> None:
        super().__init__()
        for name in self.norms:
            setattr(self, name, NORMS.get(config.norm.kind)(hidden, config.norm))
        self.attention = ATTENTIONS.get(config.attention.kind)(hidden, config.attention, core)
        self.feed_forward = FEED_FORWARDS.get(config.feed_forward.kind)(hidden, config.feed_forward)
        self.residual_scale = config.residual_scale

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + (y if self.residual_scale == 1.0 else y * self.residual_scale)


class PreNormBlock(Block):
    norms = ("attention_norm", "ffn_norm")

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = self.add(x, self.attention(self.attention_norm(x), step))
        return self.add(x, self.feed_forward(self.ffn_norm(x)))


class PostNormBlock(Block):
    """OLMo 2: norms after attention and feed-forward, before the residual sums."""

    norms = ("attention_post_norm", "ffn_post_norm")

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = self.add(x, self.attention_post_norm(self.attention(x, step)))
        return self.add(x, self.ffn_post_norm(self.feed_forward(x)))


class SandwichBlock(Block):
    """Gemma 2 and 3: norms before and after both sublayers."""

    norms = ("attention_norm", "attention_post_norm", "ffn_norm", "ffn_post_norm")

    def forward(self, x: Tensor, step: Step) -> Tensor:
        y = self.attention(self.attention_norm(x), step)
        x = self.add(x, self.attention_post_norm(y))
        return self.add(x, self.ffn_post_norm(self.feed_forward(self.ffn_norm(x))))


class ParallelBlock(Block):
    """One norm feeds both attention and feed-forward, whose outputs are added."""

    norms = ("attention_norm",)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        h = self.attention_norm(x)
        return self.add(x, self.attention(h, step) + self.feed_forward(h))
