"""Normalization layers, each built from (size, NormConfig)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.config import NormConfig


class RMSNorm(nn.Module):
    """Root-mean-square norm (arXiv:1910.07467): [..., D] -> [..., D]."""

    def __init__(self, size: int, config: NormConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        # Variance in float32 whatever the dtype: half precision overflows on outlier channels.
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps)
        return h.to(x.dtype) * self.weight


class LayerNorm(nn.Module):
    """Layer norm (arXiv:1607.06450): [..., D] -> [..., D]."""

    def __init__(self, size: int, config: NormConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if config.bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
