"""Attention by plain ATen operators, without a cache and over a static one."""

from __future__ import annotations

from torch import Tensor, nn

from llm_export.models.components.attention_cores.base import (
    CachedCore,
    CoreShape,
    grouped_attention,
)
from llm_export.models.components.step import Step


class CachelessCore(nn.Module):
    """No cache: attends within the tokens given. The independent reference for all others."""

    def __init__(self, shape: CoreShape, context: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.masks[self.shape.window]
        assert mask is not None
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        return grouped_attention(q, k, v, mask[:, : q.shape[1]].to(q.dtype), self.shape, sinks)


class StaticCacheCore(CachedCore):
    """Attention over the whole cache, [B, K, T, E]."""

    def __init__(self, shape: CoreShape, context: int) -> None:
        keys = (1, shape.num_kv_heads, context, shape.head_dim)
        values = (1, shape.num_kv_heads, context, shape.value_dim)
        super().__init__(keys, None if shape.shared_values else values)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.masks[self.shape.window]
        assert mask is not None
        self.k_cache[:, :, step.positions] = k.transpose(1, 2)
        if self.shape.shared_values:
            values = self.k_cache[..., : self.shape.value_dim]
        else:
            self.v_cache[:, :, step.positions] = v.transpose(1, 2)
            values = self.v_cache
        return grouped_attention(q, self.k_cache, values, mask, self.shape, sinks)
