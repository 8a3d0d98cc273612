"""Attention by plain ATen operators, with and without a cache."""

from __future__ import annotations

from torch import Tensor

from llm_export.models.components.attention_cores.base import (
    CachedCore,
    Core,
    CoreShape,
    grouped_attention,
)
from llm_export.models.components.attention_cores.layout import Layout
from llm_export.models.components.rope import rotate
from llm_export.models.components.step import Step


class CachelessCore(Core):
    """No cache: attention within the given tokens. The independent reference for all other
    cores.
    """

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        self.lend(step, k, v)
        return self.attend(q, k, v, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        assert mask is not None
        keys, values = kept
        seen = mask[:, : keys.shape[2]].to(q.dtype)
        return grouped_attention(q, keys, values, seen, self.shape, sinks)


class CacheCore(CachedCore):
    """Attention over the whole cache, [B, K, T, E], for any layout."""

    slot_dim = 2

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        slots = layout(shape.window).slots
        keys = (1, shape.num_kv_heads, slots, shape.head_dim)
        values = (1, shape.num_kv_heads, slots, shape.value_dim)
        super().__init__(keys, None if shape.shared_values else values)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        plan = step.plans[self.shape.window]
        assert plan.mask is not None
        self.k_cache[:, :, plan.slots] = k.transpose(1, 2)
        if self.shape.shared_values:
            values = self.k_cache[..., -self.shape.value_dim :]
        else:
            self.v_cache[:, :, plan.slots] = v.transpose(1, 2)
            values = self.v_cache
        keys = self.keys(step)
        self.lend(step, keys, values)
        return self.attend(q, keys, values, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        assert mask is not None
        q, (keys, values) = self.rotated(q, step), kept
        return grouped_attention(q, keys, values, mask, self.shape, sinks)

    def rotated(self, q: Tensor, step: Step) -> Tensor:
        return q

    def keys(self, step: Step) -> Tensor:
        return self.k_cache


class RotatingCacheCore(CacheCore):
    """Keys are cached before RoPE and rotated at every step by their cache slot.

    This is how StreamingLLM (arXiv:2309.17453) continues a conversation without end: positions
    never exceed the cache size, however many tokens between the sinks and the recent ones were
    dropped.
    """

    rotates_inside = True

    def rotated(self, q: Tensor, step: Step) -> Tensor:
        rope = self.shape.rope
        return q if rope is None else rotate(q, *step.rotations[rope])

    def keys(self, step: Step) -> Tensor:
        if self.shape.rope is None:
            return self.k_cache
        cos, sin = step.cached_rotations[self.shape.rope]
        return rotate(self.k_cache, cos.transpose(1, 2), sin.transpose(1, 2))
