"""Factors on queries by their positions, from a table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.config import QueryScale


class QueryScaleTable(nn.Module):
    """positions [S] -> factors [1, S, 1, 1]: 1 + beta * log(1 + floor(position / period))."""

    factors: Tensor

    def __init__(self, config: QueryScale, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.context_length = context_length
        self.register_buffer("factors", torch.empty(context_length), persistent=False)

    def init_buffers(self) -> None:
        """Fill the table; called once after the model has left the meta device."""
        positions = torch.arange(self.context_length, dtype=torch.float32, device="cpu")
        steps = torch.floor(positions / self.config.period)
        self.factors = (1 + self.config.beta * torch.log(1 + steps)).to(self.factors.dtype)

    def forward(self, positions: Tensor) -> Tensor:
        return self.factors[positions][None, :, None, None]
