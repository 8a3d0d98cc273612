"""ExecuTorch's fused attention operators."""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.models.components.attention_cores.base import CachedCore, CoreShape
from llm_export.models.components.attention_cores.layout import Layout
from llm_export.models.components.step import Step


class CustomOpCore(CachedCore):
    """``llama::update_cache`` and ``llama::custom_sdpa``; cache [B, T, K, E].

    Without a window the operator masks causally from ``start`` and reads only the filled part of
    the cache. With a window it takes a mask and reads the whole cache.
    """

    slot_dim = 1

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        size = (1, layout(shape.window).slots, shape.num_kv_heads, shape.head_dim)
        super().__init__(size, size)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        ops = torch.ops.llama
        ops.update_cache(k, self.k_cache, step.start)
        ops.update_cache(v, self.v_cache, step.start)
        self.lend(step, self.k_cache, self.v_cache)
        return self.attend(q, self.k_cache, self.v_cache, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        return torch.ops.llama.custom_sdpa(
            q, *kept, step.start, mask, 0.0, mask is None, self.shape.scale
        )
