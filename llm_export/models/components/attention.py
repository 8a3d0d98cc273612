"""Grouped-query attention (arXiv:2305.13245): projections around a replaceable attention core."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.attention_cores import CoreFactory, CoreShape
from llm_export.models.components.attention_cores.by_head import CustomOpByHeadCore
from llm_export.models.components.registry import NORMS
from llm_export.models.components.rope import rotate
from llm_export.models.components.step import Step
from llm_export.models.config import AttentionConfig


class SeparateQKV(nn.Module):
    """[B, S, D] -> q [B, S, H*E], k and v [B, S, K*E], by three linears."""

    def __init__(self, hidden: int, config: AttentionConfig) -> None:
        super().__init__()
        e, bias = config.head_dim, config.qkv_bias
        self.q = nn.Linear(hidden, config.num_heads * e, bias=bias)
        self.k = nn.Linear(hidden, config.num_kv_heads * e, bias=bias)
        self.v = nn.Linear(hidden, config.num_kv_heads * e, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q(x), self.k(x), self.v(x)


class SharedKV(nn.Module):
    """The same by two linears, where keys and values have the same projection."""

    def __init__(self, hidden: int, config: AttentionConfig) -> None:
        super().__init__()
        e, bias = config.head_dim, config.qkv_bias
        self.q = nn.Linear(hidden, config.num_heads * e, bias=bias)
        self.k = nn.Linear(hidden, config.num_kv_heads * e, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k = self.k(x)
        return self.q(x), k, k


class FusedQKV(nn.Module):
    """The same by one linear: its input is read (and dynamically quantized) once."""

    def __init__(self, fused: nn.Linear, sizes: list[int]) -> None:
        super().__init__()
        self.fused = fused
        self.sizes = sizes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = torch.split(self.fused(x), self.sizes, dim=-1)
        return q, k, v


class GroupedQKV(nn.Module):
    """[B, S, D] -> [B, S, K, G + 2, E] by one linear: for each KV head its queries, key and value
    side by side, so that all are rotated and laid out by head together.

    ``FusedQKV`` with its rows reordered.
    """

    swap: Tensor

    def __init__(self, fused: nn.Linear, config: AttentionConfig, rotated: int) -> None:
        super().__init__()
        self.fused = fused
        self.heads, self.e = config.num_kv_heads, config.head_dim
        self.group = config.num_heads // config.num_kv_heads
        self.rotated = rotated
        """Number of channels of a head that RoPE rotates."""
        self.register_buffer("swap", torch.empty(self.e, self.e), persistent=False)
        self.init_buffers()

    def init_buffers(self) -> None:
        """[E, E] permutation that swaps the halves of the rotated channels; zero for the other
        channels.
        """
        half = self.rotated // 2
        to = torch.arange(self.rotated).roll(half)
        swap = torch.zeros(self.e, self.e, dtype=self.swap.dtype, device="cpu")
        swap[torch.arange(self.rotated), to] = 1
        self.swap = swap

    def forward(self, x: Tensor) -> Tensor:
        return self.fused(x).view(x.shape[0], -1, self.heads, self.group + 2, self.e)

    def rotate(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate by cos and sin [1, S, 1, G + 2, E], which leave the values unchanged."""
        return qkv * cos + F.linear(qkv, self.swap) * sin


class Attention(nn.Module):
    """[B, S, D] -> [B, S, D].

    ``core`` owns the KV cache and the attention arithmetic; see ``attention_cores``.
    """

    def __init__(self, hidden: int, config: AttentionConfig, core: CoreFactory) -> None:
        super().__init__()
        self.config = config
        projections = SharedKV if config.values_from_keys else SeparateQKV
        self.qkv: nn.Module = projections(hidden, config)
        self.q_norm: nn.Module | None = None
        self.k_norm: nn.Module | None = None
        if config.qk_norm is not None:
            per_head = config.qk_norm_over == "head"
            sizes = [1 if per_head else n for n in (config.num_heads, config.num_kv_heads)]
            norm = NORMS.get(config.qk_norm.kind)
            self.q_norm = norm(sizes[0] * config.head_dim, config.qk_norm)
            self.k_norm = norm(sizes[1] * config.head_dim, config.qk_norm)
        self.v_norm: nn.Module | None = None
        if config.v_norm is not None:
            self.v_norm = NORMS.get(config.v_norm.kind)(config.head_dim, config.v_norm)
        self.sinks = nn.Parameter(torch.zeros(config.num_heads)) if config.sinks else None
        self.core_shape = CoreShape.of(config)
        self.core = core(self.core_shape)
        width = config.num_heads * config.head_dim
        self.gate: nn.Linear | None = None
        if config.gate is not None:
            self.gate = nn.Linear(hidden, config.gate_size, bias=config.gate_bias)
        self.out_norm: nn.Module | None = None
        if config.out_norm is not None:
            self.out_norm = NORMS.get(config.out_norm.kind)(width, config.out_norm)
        self.out = nn.Linear(width, hidden, bias=config.out_bias)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        y = self.attend(x, step)
        if self.gate is not None:
            y = self._gated(y, torch.sigmoid(self.gate(x)))
        return self.out(y if self.out_norm is None else self.out_norm(y))

    def _gated(self, y: Tensor, factors: Tensor) -> Tensor:
        if self.config.gate == "channel":
            return y * factors
        heads = y.view(*factors.shape, self.config.head_dim)
        return (heads * factors[..., None]).view(y.shape)

    def attend(self, x: Tensor, step: Step) -> Tensor:
        """[B, S, D] -> [B, S, H * E]: the heads' outputs."""
        if isinstance(self.qkv, GroupedQKV):
            return self._grouped(self.qkv, x, step)
        config = self.config
        b, s, _ = x.shape
        q, k, v = self.qkv(x)
        first, last = (self.q_norm, self.k_norm), (None, None)
        if config.qk_norm_after_rope:
            first, last = last, first
        q = self._heads(q, first[0], config.num_heads)
        k = self._heads(k, first[1], config.num_kv_heads)
        v = v.view(b, s, config.num_kv_heads, config.head_dim)
        v = v if self.v_norm is None else self.v_norm(v)
        if config.rope is not None and not self.core.rotates_inside:
            cos, sin = step.rotations[config.rope]
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if config.qk_norm_after_rope:
            q = self._heads(q.flatten(2), last[0], config.num_heads)
            k = self._heads(k.flatten(2), last[1], config.num_kv_heads)
        y = self.core(step.scaled(q), k, v, step, self.sinks)
        return y.reshape(b, s, config.num_heads * config.head_dim)

    def _grouped(self, qkv: GroupedQKV, x: Tensor, step: Step) -> Tensor:
        config = self.config
        y = qkv(x)
        if config.rope is not None:
            y = qkv.rotate(y, *step.rotations[config.rope])
        if isinstance(self.core, CustomOpByHeadCore):
            return self.core.together(y, step)
        else:
            q = y[:, :, :, : qkv.group].flatten(2, 3)
            y = self.core(q, y[:, :, :, -2], y[:, :, :, -1], step, self.sinks)
            y = y.reshape(x.shape[0], -1, config.num_heads * config.head_dim)
        return y

    def _heads(self, x: Tensor, norm: nn.Module | None, heads: int) -> Tensor:
        """[B, S, N*E] -> [B, S, N, E], normalized per head or over all heads."""
        b, s, _ = x.shape
        whole = self.config.qk_norm_over != "head"
        if norm is not None and whole:
            x = norm(x)
        x = x.view(b, s, heads, self.config.head_dim)
        return norm(x) if norm is not None and not whole else x
