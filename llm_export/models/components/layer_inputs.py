"""Per-layer embeddings of Gemma 3n and 4: a second table, with an entry for each layer.

The table is large and a step reads only the rows of its tokens, so it may stay on disk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory
from llm_export.models.components.block import SandwichBlock
from llm_export.models.components.feed_forward import ACTIVATIONS
from llm_export.models.components.registry import NORMS
from llm_export.models.components.step import Step
from llm_export.models.config import (
    LayerConfig,
    LayerInputConfig,
    LayerInputsConfig,
    NormConfig,
)


class LayerInputs(nn.Module):
    """tokens [B, S], embeddings [B, S, D] -> [B, S, L, P], one input for each layer: the table's
    row of the token and a projection of its embedding, in equal parts.
    """

    def __init__(self, hidden: int, config: LayerInputsConfig, norm: NormConfig) -> None:
        super().__init__()
        self.config = config
        width = config.layers * config.size
        self.table = nn.Embedding(config.vocab_size, width)
        self.projection = nn.Linear(hidden, width, bias=False)
        self.norm = NORMS.get(norm.kind)(config.size, norm)
        self.scale = hidden**-0.5

    def forward(self, tokens: Tensor, embeddings: Tensor) -> Tensor:
        shape = (*embeddings.shape[:2], self.config.layers, self.config.size)
        rows = (self.table(tokens) * self.config.size**0.5).view(shape)
        projected = self.norm((self.projection(embeddings) * self.scale).view(shape))
        return (projected + rows) * 2**-0.5


class LayerInput(nn.Module):
    """x [B, S, D] -> [B, S, D], to be added to it: x gates the layer's input."""

    def __init__(self, hidden: int, config: LayerInputConfig, norm: NormConfig) -> None:
        super().__init__()
        self.index = config.index
        self.activation = ACTIVATIONS[config.activation]
        self.gate = nn.Linear(hidden, config.size, bias=False)
        self.out = nn.Linear(config.size, hidden, bias=False)
        self.norm = NORMS.get(norm.kind)(hidden, norm)

    def forward(self, x: Tensor, inputs: Tensor) -> Tensor:
        gated = self.activation(self.gate(x)) * inputs[:, :, self.index]
        return self.norm(self.out(gated))


class ScaledSandwichBlock(SandwichBlock):
    """Gemma 4: a sandwich block, the layer's input if it has one, and a learned factor on the
    residual stream.
    """

    def __init__(self, hidden: int, config: LayerConfig, core: CoreFactory) -> None:
        super().__init__(hidden, config, core)
        self.layer_input: LayerInput | None = None
        if config.layer_input is not None:
            self.layer_input = LayerInput(hidden, config.layer_input, config.norm)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = super().forward(x, step)
        if self.layer_input is not None:
            assert step.layer_inputs is not None
            x = x + self.layer_input(x, step.layer_inputs)
        return x * self.scale
