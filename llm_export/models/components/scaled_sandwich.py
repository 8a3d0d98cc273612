"""Gemma 4's block: a sandwich block with parts of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory
from llm_export.models.components.block import SandwichBlock
from llm_export.models.components.layer_inputs import LayerInput
from llm_export.models.components.registry import FEED_FORWARDS
from llm_export.models.components.step import Step
from llm_export.models.config import LayerConfig


class ScaledSandwichBlock(SandwichBlock):
    """A sandwich block, the layer's input if it has one, and a learned factor on the residual
    stream. Experts may stand beside the feed-forward network: both read the residual stream
    through a norm of their own, the router a third time, and their normed outputs are added.
    """

    dense_post_norm: nn.Module
    mixture_norm: nn.Module
    mixture_post_norm: nn.Module

    def __init__(self, hidden: int, config: LayerConfig, core: CoreFactory) -> None:
        super().__init__(hidden, config, core)
        self.mixture: nn.Module | None = None
        if config.mixture is not None:
            self.mixture = FEED_FORWARDS.get(config.mixture.kind)(hidden, config.mixture)
        self.layer_input: LayerInput | None = None
        if config.layer_input is not None:
            self.layer_input = LayerInput(hidden, config.layer_input, config.norm)
        self.scale = nn.Parameter(torch.ones(1))

    def set_number(self, number: int) -> None:
        if self.layer_input is not None:
            self.layer_input.set_number(number)

    def feed(self, x: Tensor) -> Tensor:
        dense = super().feed(x)
        if self.mixture is None:
            return dense
        experts = self.mixture(self.mixture_norm(x), routed_by=x)
        return self.dense_post_norm(dense) + self.mixture_post_norm(experts)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = super().forward(x, step)
        if self.layer_input is not None:
            assert step.layer_inputs is not None
            x = x + self.layer_input(x, step.layer_inputs)
        return x * self.scale
