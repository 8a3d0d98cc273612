"""Layers of T5: attention with a relative bias and without a scale, and feed-forward networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.norm import RMSNorm
from llm_export.models.components.registry import FEED_FORWARDS
from llm_export.models.seq2seq.cross_attention import CrossAttention
from llm_export.models.seq2seq.t5_config import T5Config


class BiasedAttention(nn.Module):
    """[1, S, D] -> [1, S, D] within the given tokens."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads, self.head_dim = config.heads, config.head_dim
        self.q = nn.Linear(config.hidden, inner, bias=False)
        self.k = nn.Linear(config.hidden, inner, bias=False)
        self.v = nn.Linear(config.hidden, inner, bias=False)
        self.o = nn.Linear(inner, config.hidden, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``bias`` [H, S, S] is added to the scores, masks included."""
        keys, values = self.kept(x)
        return self.attend(x, keys, values, bias)

    def kept(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys [H, E, S] and values [H, S, E], as the two products take them."""
        shape = (-1, self.heads, self.head_dim)
        keys = self.k(x)[0].view(shape).permute(1, 2, 0)
        return keys, self.v(x)[0].view(shape).transpose(0, 1)

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """keys [H, E, T]; values [H, T, E]; bias [H, S, T]."""
        q = self.q(x)[0].view(-1, self.heads, self.head_dim).transpose(0, 1)
        scores = torch.bmm(q, keys).to(torch.float32) + bias
        y = torch.bmm(F.softmax(scores, dim=-1).to(q.dtype), values)
        return self.o(y.transpose(0, 1).reshape(1, -1, self.heads * self.head_dim))


class CachedBiasedAttention(BiasedAttention):
    """The same with the keys and values of former positions, in caches of T slots."""

    k_cache: Tensor
    v_cache: Tensor

    def __init__(self, config: T5Config, slots: int) -> None:
        super().__init__(config)
        h, e = config.heads, config.head_dim
        for name, size in {"k_cache": (h, e, slots), "v_cache": (h, slots, e)}.items():
            self.register_buffer(name, torch.empty(size), persistent=False)

    def init_buffers(self) -> None:
        for name in ("k_cache", "v_cache"):
            former = getattr(self, name)
            setattr(self, name, torch.zeros(former.shape, device="cpu", dtype=former.dtype))

    def step(self, x: Tensor, positions: Tensor, bias: Tensor) -> Tensor:
        """x [1, S, D] at positions [S]; bias [H, S, T]."""
        keys, values = self.kept(x)
        self.k_cache[:, :, positions] = keys.to(self.k_cache.dtype)
        self.v_cache[:, positions] = values.to(self.v_cache.dtype)
        return self.attend(x, self.k_cache, self.v_cache, bias)


class EncoderLayer(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden, config.norm)
        self.attention = BiasedAttention(config)
        self.ffn_norm = RMSNorm(config.hidden, config.norm)
        self.ffn = FEED_FORWARDS.get(config.ffn.kind)(config.hidden, config.ffn)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), bias)
        return x + self.ffn(self.ffn_norm(x))


class DecoderLayer(nn.Module):
    def __init__(self, config: T5Config, slots: int, source_slots: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden, config.norm)
        self.attention = CachedBiasedAttention(config, slots)
        self.cross_norm = RMSNorm(config.hidden, config.norm)
        self.cross = CrossAttention(
            config.hidden, config.hidden, config.heads, config.head_dim, source_slots, scale=1.0
        )
        self.ffn_norm = RMSNorm(config.hidden, config.norm)
        self.ffn = FEED_FORWARDS.get(config.ffn.kind)(config.hidden, config.ffn)

    def forward(self, x: Tensor, positions: Tensor, bias: Tensor, source: Tensor) -> Tensor:
        x = x + self.attention.step(self.attention_norm(x), positions, bias)
        x = x + self.cross(self.cross_norm(x), source)
        return x + self.ffn(self.ffn_norm(x))
