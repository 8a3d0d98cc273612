"""ExecuTorch's fused attention operator over a cache in which a KV head's positions are
neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.models.components.attention_cores.base import CachedCore, CoreShape
from llm_export.models.components.attention_cores.layout import Layout
from llm_export.models.components.step import Step


class CustomOpByHeadCore(CachedCore):
    """``llama::sdpa_with_kv_cache``, which writes the step's keys and values and attends, with
    KV heads as its batch; cache [K, T, 1, E].

    The operator goes through the keys of one head at a time. Where they lie one after the other
    it reads memory in order: a long cache costs half of what [1, T, K, E] does. Masks are as in
    ``CustomOpCore``.
    """

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        size = (shape.num_kv_heads, layout(shape.window).slots, 1, shape.head_dim)
        super().__init__(size, size)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        heads, e = self.shape.num_kv_heads, self.shape.head_dim
        group = self.shape.num_heads // heads
        q = _by_head(q, heads, group, e)
        return self._attend(q, _by_head(k, heads, 1, e), _by_head(v, heads, 1, e), step)

    def together(self, qkv: Tensor, step: Step) -> Tensor:
        """[1, S, K, G + 2, E], of each KV head its queries, its key and its value."""
        heads, e = self.shape.num_kv_heads, self.shape.head_dim
        group = self.shape.num_heads // heads
        q, k, v = torch.split(_by_head(qkv, heads, group + 2, e), [group, 1, 1], dim=2)
        return self._attend(q, k, v, step)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        """q [K, S, G, E], k and v [K, S, 1, E] -> [1, S, H * E]."""
        mask = step.plans[self.shape.window].mask
        y = torch.ops.llama.sdpa_with_kv_cache(
            q, k, v, self.k_cache, self.v_cache, step.start, q.shape[1], mask, 0.0, mask is None,
            self.shape.scale,
        )  # fmt: skip
        heads, group, e = self.shape.num_kv_heads, q.shape[2], self.shape.head_dim
        return y.transpose(0, 1).contiguous().view(1, -1, heads * group * e)


def _by_head(x: Tensor, heads: int, size: int, e: int) -> Tensor:
    """[1, S, K, N, E] or [1, S, K * N, E] -> [K, S, N, E]. Inferred sizes, since delegates take
    no computed ones."""
    s = x.shape[1]
    x = x.view(-1, heads, size, e).transpose(0, 1).contiguous()
    return x.view(heads, s, size, e)
