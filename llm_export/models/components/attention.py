"""Grouped-query attention (arXiv:2305.13245): projections around an exchangeable core."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory, CoreShape
from llm_export.models.components.registry import NORMS
from llm_export.models.components.rope import rotate
from llm_export.models.components.step import Step
from llm_export.models.config import AttentionConfig


class SeparateQKV(nn.Module):
    """[B, S, D] -> q [B, S, H*E], k and v [B, S, K*E], by three matrices."""

    def __init__(self, hidden: int, config: AttentionConfig) -> None:
        super().__init__()
        e, bias = config.head_dim, config.qkv_bias
        self.q = nn.Linear(hidden, config.num_heads * e, bias=bias)
        self.k = nn.Linear(hidden, config.num_kv_heads * e, bias=bias)
        self.v = nn.Linear(hidden, config.num_kv_heads * e, bias=bias)

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

    def __init__(self, hidden: int, config: AttentionConfig, core: CoreFactory) -> None:
        super().__init__()
        self.config = config
        self.qkv: nn.Module = SeparateQKV(hidden, config)
        self.q_norm: nn.Module | None = None
        self.k_norm: nn.Module | None = None
        if config.qk_norm is not None:
            per_head = config.qk_norm_over == "head"
            sizes = [1 if per_head else n for n in (config.num_heads, config.num_kv_heads)]
            norm = NORMS.get(config.qk_norm.kind)
            self.q_norm = norm(sizes[0] * config.head_dim, config.qk_norm)
            self.k_norm = norm(sizes[1] * config.head_dim, config.qk_norm)
        self.sinks = nn.Parameter(torch.zeros(config.num_heads)) if config.sinks else None
        self.core_shape = CoreShape.of(config)
        self.core = core(self.core_shape)
        self.out = nn.Linear(config.num_heads * config.head_dim, hidden, bias=config.out_bias)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        config = self.config
        b, s, _ = x.shape
        q, k, v = self.qkv(x)
        q = self._heads(q, self.q_norm, config.num_heads)
        k = self._heads(k, self.k_norm, config.num_kv_heads)
        v = v.view(b, s, config.num_kv_heads, config.head_dim)
        if config.rope is not None and not self.core.rotates_inside:
            cos, sin = step.rotations[config.rope]
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = self.core(q, k, v, step, self.sinks)
        return self.out(y.reshape(b, s, config.num_heads * config.head_dim))

    def _heads(self, x: Tensor, norm: nn.Module | None, heads: int) -> Tensor:
        """[B, S, N*E] -> [B, S, N, E], normalized over each head or over all of them."""
        b, s, _ = x.shape
        whole = self.config.qk_norm_over != "head"
        if norm is not None and whole:
            x = norm(x)
        x = x.view(b, s, heads, self.config.head_dim)
        return norm(x) if norm is not None and not whole else x
