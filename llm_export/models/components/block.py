"""Decoder blocks [B, S, D] -> [B, S, D], which differ in the placement of norms and residual sums.

All use the names ``attention``, ``mixer`` and ``feed_forward``, of which a layer may lack some. A
norm is named after its successor (``attention_norm``, ``ffn_norm``) or its predecessor
(``attention_post_norm``, ...); ``attention`` then stands for whatever mixes tokens.
"""

from __future__ import annotations

from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory
from llm_export.models.components.layer_addition import LayerAddition
from llm_export.models.components.registry import ATTENTIONS, FEED_FORWARDS, MIXERS, NORMS
from llm_export.models.components.step import Step
from llm_export.models.config import LayerConfig


class Block(nn.Module):
    """Base class of all blocks.

    Attributes:
        serves_logits: whether it and all layers after it keep nothing for later steps, so that it
            has to run only for positions whose logits are wanted.
        addition: what is added to its result, in steps that have additions.
    """

    serves_logits: bool = False
    attention: nn.Module | None
    mixer: nn.Module | None
    feed_forward: nn.Module | None
    # A block has the norms named in ``LayerConfig.norms``.
    attention_norm: nn.Module
    attention_post_norm: nn.Module
    ffn_norm: nn.Module
    ffn_post_norm: nn.Module

    def __init__(self, hidden: int, config: LayerConfig, core: CoreFactory) -> None:
        super().__init__()
        for name in config.norms:
            setattr(self, name, NORMS.get(config.norm.kind)(hidden, config.norm))
        self.attention = self.mixer = self.feed_forward = None
        attention, mixer, feed_forward = config.attention, config.mixer, config.feed_forward
        if attention is not None:
            self.attention = ATTENTIONS.get(attention.kind)(hidden, attention, core)
        if mixer is not None:
            self.mixer = MIXERS.get(mixer.kind)(hidden, mixer)
        if feed_forward is not None:
            self.feed_forward = FEED_FORWARDS.get(feed_forward.kind)(hidden, feed_forward)
        self.addition: LayerAddition | None = None
        if config.addition is not None:
            self.addition = LayerAddition(config.addition)
        self.residual_scale = config.residual_scale
        self.scales = (
            (config.attention_in, config.attention_scale),
            (config.mixer_in, config.mixer_scale),
        )

    @property
    def lends(self) -> bool:
        """Whether later layers use what its attention keeps."""
        config = getattr(self.attention, "config", None)
        return config is not None and config.lends is not None

    def set_number(self, number: int) -> None:
        """Tell the block which layer of the model it is, for blocks to which this matters."""

    @property
    def mixes(self) -> bool:
        """Whether the block mixes tokens."""
        return self.attention is not None or self.mixer is not None

    def mix(self, x: Tensor, step: Step) -> Tensor:
        """Attention, the other mixer, or the sum of both."""
        parts = zip((self.attention, self.mixer), self.scales, strict=True)
        made = [
            _scaled(part(_scaled(x, before), step), after)
            for part, (before, after) in parts
            if part is not None
        ]
        return made[0] if len(made) == 1 else made[0] + made[1]

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + _scaled(y, self.residual_scale)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1.0 else x * factor


class PreNormBlock(Block):
    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.mixes:
            x = self.add(x, self.mix(self.attention_norm(x), step))
        if self.feed_forward is not None:
            x = self.add(x, self.feed_forward(self.ffn_norm(x)))
        return x


class PostNormBlock(Block):
    """OLMo 2: norms after attention and feed-forward, before the residual sums."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.mixes:
            x = self.add(x, self.attention_post_norm(self.mix(x, step)))
        if self.feed_forward is not None:
            x = self.add(x, self.ffn_post_norm(self.feed_forward(x)))
        return x


class SandwichBlock(Block):
    """Gemma 2 and 3: norms before and after both sublayers."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.mixes:
            x = self.add(x, self.attention_post_norm(self.mix(self.attention_norm(x), step)))
        if self.feed_forward is not None:
            x = self.add(x, self.ffn_post_norm(self.feed(x)))
        return x

    def feed(self, x: Tensor) -> Tensor:
        """What the last norm gets."""
        assert self.feed_forward is not None
        fed: Tensor = self.feed_forward(self.ffn_norm(x))
        return fed


class ParallelBlock(Block):
    """One norm feeds both token mixing and feed-forward, whose outputs are added."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        h = self.attention_norm(x)
        assert self.feed_forward is not None
        return self.add(x, self.mix(h, step) + self.feed_forward(h))


class PostSumNormBlock(Block):
    """BERT and the original transformer (arXiv:1706.03762): norms of the residual sums."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.mixes:
            x = self.attention_post_norm(self.add(x, self.mix(x, step)))
        if self.feed_forward is not None:
            x = self.ffn_post_norm(self.add(x, self.feed_forward(x)))
        return x


class FirstPreNormBlock(Block):
    """ModernBERT's first layer: its input is normed already, so attention has no norm."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.mixes:
            x = self.add(x, self.mix(x, step))
        if self.feed_forward is not None:
            x = self.add(x, self.feed_forward(self.ffn_norm(x)))
        return x
