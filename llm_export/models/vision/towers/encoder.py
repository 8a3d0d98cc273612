"""Parts of vision transformers (arXiv:2010.11929)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.feed_forward import PlainFeedForward
from llm_export.models.components.norm import LayerNorm
from llm_export.models.config import FeedForwardConfig
from llm_export.models.norm_config import NormConfig
from llm_export.models.vision.config import EncoderConfig


def layer_norm(size: int, eps: float) -> LayerNorm:
    return LayerNorm(size, NormConfig(eps, kind="layer", bias=True))


class Patches(nn.Module):
    """Pixels [B, C, h, w] -> embeddings of patches [B, N, D], row by row.

    A linear rather than the convolution of checkpoints, which is the same for patches that do not
    overlap: so it is quantized as the other linears are.
    """

    def __init__(self, channels: int, patch: int, hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.channels, self.patch = channels, patch
        self.linear = nn.Linear(channels * patch * patch, hidden, bias=bias)

    def forward(self, pixels: Tensor) -> Tensor:
        batch, _, height, width = pixels.shape
        rows, columns, p = height // self.patch, width // self.patch, self.patch
        x = pixels.reshape(batch, self.channels, rows, p, columns, p)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
        embedded: Tensor = self.linear(x)
        return embedded


class FullAttention(nn.Module):
    """Multi-head attention of every position to every other: [B, N, D] -> [B, N, D]."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, hidden // heads
        self.q = nn.Linear(hidden, hidden)
        self.k = nn.Linear(hidden, hidden)
        self.v = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, _ = x.shape
        q = self._split(self.q(x) * self.head_dim**-0.5)
        mixed = attended_by_head(q, self._split(self.k(x)), self._split(self.v(x)))
        mixed = mixed.reshape(batch, self.heads, count, self.head_dim).transpose(1, 2)
        attended: Tensor = self.out(mixed.reshape(batch, count, -1))
        return attended

    def _split(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B * H, N, E]."""
        batch, count, _ = x.shape
        x = x.reshape(batch, count, self.heads, self.head_dim).transpose(1, 2)
        return x.reshape(batch * self.heads, count, self.head_dim)


def attended_by_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of scaled queries to keys and values, all [H, N, E].

    Products of three dimensions and a softmax: delegates take neither the fused operator nor the
    expansions of a product of four.
    """
    return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1), v)


class EncoderLayer(nn.Module):
    """[B, N, D] -> [B, N, D]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention_norm = layer_norm(config.hidden, config.eps)
        self.attention = FullAttention(config.hidden, config.heads)
        self.ffn_norm = layer_norm(config.hidden, config.eps)
        inner = FeedForwardConfig(config.ffn, config.activation, bias=True, kind="plain")
        self.feed_forward = PlainFeedForward(config.hidden, inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        fed: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return fed
