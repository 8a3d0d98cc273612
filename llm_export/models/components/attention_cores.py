"""Attention kinds: how keys and values are kept, and how attention is computed over them.

A kind is a pair of modules. The *planner* runs once a forward pass and yields the mask
and the start position; the *core* runs in every layer. All cores share one signature:
q [B, S, H, E], k and v [B, S, K, E], step -> [B, S, H, E].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.step import Step


@dataclass(frozen=True)
class CoreShape:
    """Sizes that every core is built from. ``context`` is T, the cache length in tokens."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    context: int


def _grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, kv_heads: int) -> Tensor:
    """q [B, S, H, E]; k, v [B, K, T, E]; mask [S, T] -> [B, S, H, E].

    The heads of a group are stacked along S, so keys and values are never repeated.
    """
    b, s, h, e = q.shape
    group, n = h // kv_heads, b * kv_heads
    q = (q * e**-0.5).transpose(1, 2).reshape(n, group * s, e)
    k, v = k.reshape(n, -1, e), v.reshape(n, -1, e)
    scores = torch.bmm(q, k.transpose(1, 2)).view(n, group, s, -1) + mask
    weights = F.softmax(scores, dim=-1).view(n, group * s, -1)
    # Split, never merge and split: merging puts a guard on the number of tokens.
    y = torch.bmm(weights, v).view(b, kv_heads, group, s, e)
    return y.permute(0, 3, 1, 2, 4).reshape(b, s, h, e)


class MaskPlanner(nn.Module):
    """positions [S] -> additive causal mask [S, T]; finite, so that no backend meets inf - inf."""

    slots: Tensor

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context
        self.register_buffer("slots", torch.empty(context, dtype=torch.int64), persistent=False)

    def init_buffers(self) -> None:
        self.slots = torch.arange(self.context, device="cpu")

    def forward(self, input_pos: Tensor, positions: Tensor) -> tuple[Tensor, None]:
        hidden = self.slots[None, :] > positions[:, None]
        return hidden.to(torch.float32) * -1e9, None


class CachelessCore(nn.Module):
    """No cache: attends within the tokens given. The independent reference for all others."""

    def __init__(self, shape: CoreShape) -> None:
        super().__init__()
        self.kv_heads = shape.num_kv_heads

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        assert step.mask is not None
        mask = step.mask[:, : q.shape[1]].to(q.dtype)
        return _grouped_attention(q, k.transpose(1, 2), v.transpose(1, 2), mask, self.kv_heads)


class CachedCore(nn.Module):
    """Keys and values of all positions so far, as mutable buffers of one fixed shape."""

    k_cache: Tensor
    v_cache: Tensor

    def __init__(self, cache_shape: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.cache_shape = cache_shape
        self.register_buffer("k_cache", torch.empty(cache_shape), persistent=False)
        self.register_buffer("v_cache", torch.empty(cache_shape), persistent=False)

    def init_buffers(self) -> None:
        self.k_cache = torch.zeros(self.cache_shape, device="cpu")
        self.v_cache = torch.zeros(self.cache_shape, device="cpu")


class StaticCacheCore(CachedCore):
    """Plain ATen attention over the whole cache, [B, K, T, E]."""

    def __init__(self, shape: CoreShape) -> None:
        super().__init__((1, shape.num_kv_heads, shape.context, shape.head_dim))
        self.kv_heads = shape.num_kv_heads

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        assert step.mask is not None
        self.k_cache[:, :, step.positions] = k.transpose(1, 2)
        self.v_cache[:, :, step.positions] = v.transpose(1, 2)
        return _grouped_attention(q, self.k_cache, self.v_cache, step.mask, self.kv_heads)


class StartPlanner(nn.Module):
    """Reads the start position as an integer and bounds it, which the custom operators need."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context

    def forward(self, input_pos: Tensor, positions: Tensor) -> tuple[None, int]:
        start = input_pos[0].item()
        torch._check(start >= 0)
        torch._check(start + positions.shape[0] <= self.context)
        return None, start


class CustomOpCore(CachedCore):
    """ExecuTorch's fused ``llama::update_cache`` and ``llama::custom_sdpa``; cache [B, T, K, E].

    The operators mask causally from ``start`` and read only the filled part of the cache.
    """

    def __init__(self, shape: CoreShape) -> None:
        super().__init__((1, shape.context, shape.num_kv_heads, shape.head_dim))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        ops = torch.ops.llama
        ops.update_cache(k, self.k_cache, step.start)
        ops.update_cache(v, self.v_cache, step.start)
        return ops.custom_sdpa(
            q, self.k_cache, self.v_cache, step.start, None, 0.0, True, q.shape[-1] ** -0.5
        )


KINDS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "cacheless": (MaskPlanner, CachelessCore),
    "plain": (MaskPlanner, StaticCacheCore),
    "custom_op": (StartPlanner, CustomOpCore),
}
