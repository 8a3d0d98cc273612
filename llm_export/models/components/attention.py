"""Grouped-query attention (arXiv:2305.13245): projections around an exchangeable core."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.rope import rotate
from llm_export.models.components.step import Step
from llm_export.models.config import DecoderConfig


class SeparateQKV(nn.Module):
    """[B, S, D] -> q [B, S, H*E], k and v [B, S, K*E], by three matrices."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        d, e, bias = config.hidden_size, config.head_dim, config.attention_bias
        self.q = nn.Linear(d, config.num_heads * e, bias=bias)
        self.k = nn.Linear(d, config.num_kv_heads * e, bias=bias)
        self.v = nn.Linear(d, config.num_kv_heads * e, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q(x), self.k(x), self.v(x)


class FusedQKV(nn.Module):
    """The same by one matrix: its input is read (and dynamically quantized) once."""

    def __init__(self, fused: nn.Linear, sizes: list[int]) -> None:
        super().__init__()
        self.fused = fused
        self.sizes = sizes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = torch.split(self.fused(x), self.sizes, dim=-1)
        return q, k, v


class Attention(nn.Module):
    """[B, S, D] -> [B, S, D].

    ``core`` owns the KV cache and the attention arithmetic; see ``attention_cores``.
    """

    def __init__(self, config: DecoderConfig, core: nn.Module) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.num_kv_heads = config.num_kv_heads
        self.head_dim = config.head_dim
        self.qkv: nn.Module = SeparateQKV(config)
        self.core = core
        self.out = nn.Linear(
            config.num_heads * config.head_dim, config.hidden_size, bias=config.attention_bias
        )

    def forward(self, x: Tensor, step: Step) -> Tensor:
        b, s, _ = x.shape
        q, k, v = self.qkv(x)
        q = rotate(q.view(b, s, self.num_heads, self.head_dim), step.cos, step.sin)
        k = rotate(k.view(b, s, self.num_kv_heads, self.head_dim), step.cos, step.sin)
        v = v.view(b, s, self.num_kv_heads, self.head_dim)
        y = self.core(q, k, v, step)
        return self.out(y.reshape(b, s, self.num_heads * self.head_dim))
