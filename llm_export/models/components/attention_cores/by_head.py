"""ExecuTorch's fused attention operator over a head-major cache, in which the positions of a KV
head are contiguous.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.models.components.attention_cores.base import CachedCore, CoreShape
from llm_export.models.components.attention_cores.layout import Layout
from llm_export.models.components.step import Step


class CustomOpByHeadCore(CachedCore):
    """``llama::sdpa_with_kv_cache``, which writes the step's keys and values and computes
    attention, with KV heads as the batch dimension; cache [K, T, 1, E].

    The operator processes the keys of one head at a time. A head-major cache makes these reads
    sequential: with a long cache a step takes half the time of [1, T, K, E]. Masks are as in
    ``CustomOpCore``.
    """

    slot_dim = 1

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        size = (shape.num_kv_heads, layout(shape.window).slots, 1, shape.head_dim)
        super().__init__(size, size)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        heads, e = self.shape.num_kv_heads, self.shape.head_dim
        group = self.shape.num_heads // heads
        by_head = _by_head(q, heads, group, e), _by_head(k, heads, 1, e), _by_head(v, heads, 1, e)
        keys, values = self.kept(by_head[1]), self.kept(by_head[2])
        return self._attend(self.kept(by_head[0]), keys, values, step, q.dtype)

    def together(self, qkv: Tensor, step: Step) -> Tensor:
        """[1, S, K, G + 2, E]: for each KV head its queries, key and value."""
        heads, e = self.shape.num_kv_heads, self.shape.head_dim
        group = self.shape.num_heads // heads
        by_head = self.kept(_by_head(qkv, heads, group + 2, e))
        q, k, v = torch.split(by_head, [group, 1, 1], dim=2)
        return self._attend(q, k, v, step, qkv.dtype)

    def kept(self, x: Tensor) -> Tensor:
        """Convert to the operator's layout, in the cache's dtype."""
        return x

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step, dtype: torch.dtype) -> Tensor:
        """q [K, S, G, E], k and v [K, S, 1, E] -> [1, S, H * E]."""
        mask = step.plans[self.shape.window].mask
        y = torch.ops.llama.sdpa_with_kv_cache(
            q, k, v, self.k_cache, self.v_cache, step.start, q.shape[1], mask, 0.0, mask is None,
            self.shape.scale,
        )  # fmt: skip
        self.lend(step, self.k_cache, self.v_cache)
        return self._by_token(y, dtype)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        heads, e = self.shape.num_kv_heads, self.shape.head_dim
        queries = self.kept(_by_head(q, heads, self.shape.num_heads // heads, e))
        mask = step.plans[self.shape.window].mask
        y = torch.ops.llama.custom_sdpa(
            queries, *kept, step.start, mask, 0.0, mask is None, self.shape.scale
        )
        return self._by_token(y, q.dtype)

    def _by_token(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """[K, S, G, E] -> [1, S, H * E]."""
        heads, group, e = self.shape.num_kv_heads, y.shape[2], self.shape.head_dim
        y = y if y.dtype == dtype else y.to(dtype)
        return y.transpose(0, 1).contiguous().view(1, -1, heads * group * e)


class CustomOpBFloat16Core(CustomOpByHeadCore):
    """The same in bfloat16, including queries; sums and the softmax are in float32. With a long
    context, reading the cache dominates, and this cache is half as large.
    """

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        super().__init__(shape, layout)
        for name in self.cache_shapes:
            self._buffers[name] = getattr(self, name).to(torch.bfloat16)

    def kept(self, x: Tensor) -> Tensor:
        return x.to(torch.bfloat16)


def _by_head(x: Tensor, heads: int, size: int, e: int) -> Tensor:
    """[1, S, K, N, E] or [1, S, K * N, E] -> [K, S, N, E]. Sizes are inferred (-1) because
    delegates do not support computed ones.
    """
    s = x.shape[1]
    x = x.view(-1, heads, size, e).transpose(0, 1).contiguous()
    return x.view(heads, s, size, e)
