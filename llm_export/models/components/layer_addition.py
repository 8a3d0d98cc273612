"""DeepStack (arXiv:2406.04334): features of an image, added to the residual stream after layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerAddition(nn.Module):
    """x [B, S, D], additions [N, B, S, D] -> [B, S, D]: x plus the layer's own one.

    The number of the addition is a tensor: like weights, it differs between layers of the same
    graph.
    """

    number: Tensor

    def __init__(self, number: int) -> None:
        super().__init__()
        self._chosen = number
        self.register_buffer("number", torch.empty(1, dtype=torch.int64), persistent=False)

    def init_buffers(self) -> None:
        self.number = torch.full((1,), self._chosen, dtype=torch.int64, device="cpu")

    def forward(self, x: Tensor, additions: Tensor) -> Tensor:
        return x + additions.index_select(0, self.number).squeeze(0)
