"""Per-layer embeddings of Gemma 3n and 4: a second table, with an entry for each layer.

The table is large and a step reads only the rows of its tokens, so it may stay on disk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.feed_forward import ACTIVATIONS
from llm_export.models.components.registry import NORMS
from llm_export.models.config import LayerInputConfig, LayerInputsConfig, NormConfig


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
    """x [B, S, D] -> [B, S, D], to be added to it: x gates the layer's input.

    The number of the layer is a tensor: like weights, it differs between layers of the same graph.
    """

    number: Tensor

    def __init__(self, hidden: int, config: LayerInputConfig, norm: NormConfig) -> None:
        super().__init__()
        self._chosen = 0
        self.register_buffer("number", torch.empty(1, dtype=torch.int64), persistent=False)
        self.activation = ACTIVATIONS[config.activation]
        self.gate = nn.Linear(hidden, config.size, bias=False)
        self.out = nn.Linear(config.size, hidden, bias=False)
        self.norm = NORMS.get(norm.kind)(hidden, norm)

    def set_number(self, number: int) -> None:
        """Choose the layer whose input is taken, before ``init_buffers``."""
        self._chosen = number

    def init_buffers(self) -> None:
        self.number = torch.full((1,), self._chosen, dtype=torch.int64, device="cpu")

    def forward(self, x: Tensor, inputs: Tensor) -> Tensor:
        own = inputs.index_select(2, self.number).flatten(2)
        return self.norm(self.out(self.activation(self.gate(x)) * own))
