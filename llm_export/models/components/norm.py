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
        # The variance is in float32 for every dtype: half precision overflows on outlier channels.
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps)
        return h.to(x.dtype) * self.weight


class PlainRMSNorm(nn.Module):
    """Root-mean-square norm without a gain: [..., D] -> [..., D]."""

    def __init__(self, size: int, config: NormConfig) -> None:
        super().__init__()
        self.size, self.eps = size, config.eps

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()
        return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class ProductRMSNorm(RMSNorm):
    """RMS norm whose mean square is a linear with one output row and epsilon as its bias. A
    delegate without a mean over channels can then take the whole norm, and with it everything
    between two attention operators.
    """

    mean: Tensor
    shift: Tensor

    def __init__(self, size: int, config: NormConfig) -> None:
        super().__init__(size, config)
        self.size = size
        self.register_buffer("mean", torch.empty(1, size), persistent=False)
        self.register_buffer("shift", torch.empty(1), persistent=False)
        if not self.mean.is_meta:
            self.init_buffers()

    @classmethod
    def stands_for(cls, norm: RMSNorm) -> ProductRMSNorm:
        """Create a replacement with the weight of ``norm``."""
        made = cls(norm.weight.shape[0], NormConfig(norm.eps))
        made.weight = norm.weight
        return made

    def init_buffers(self) -> None:
        self.mean = torch.full((1, self.size), 1 / self.size, dtype=self.mean.dtype, device="cpu")
        self.shift = torch.full((1,), self.eps, dtype=self.shift.dtype, device="cpu")

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(F.linear(x.pow(2), self.mean, self.shift)) * self.weight


class PlainProductRMSNorm(ProductRMSNorm):
    """The same without a gain."""

    def __init__(self, size: int, config: NormConfig) -> None:
        super().__init__(size, config)
        self.weight = None  # type: ignore[assignment]

    @classmethod
    def stands_for(cls, norm: PlainRMSNorm) -> PlainProductRMSNorm:  # type: ignore[override]
        return cls(norm.size, NormConfig(norm.eps))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(F.linear(x.pow(2), self.mean, self.shift))


class LayerNorm(nn.Module):
    """Layer norm (arXiv:1607.06450): [..., D] -> [..., D]."""

    def __init__(self, size: int, config: NormConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if config.bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
