"""Attention of a step of several tokens as products and a softmax that XNNPACK computes.

The modules are lowered by themselves and take the place of ExecuTorch's fused operator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.compat.symbolic_checks import check

_MASKED = 1e5
"""Subtracted from the scores of keys that a query must not attend to."""


class CausalChunk(nn.Module):
    """Causal attention of the last S of ``end`` tokens over a cache that contains all of them.

    Args:
        scale: factor on the scores.
        longest: maximum number of tokens in the cache.
    """

    def __init__(self, scale: float, longest: int) -> None:
        super().__init__()
        self.scale, self.longest = scale, longest

    def forward(self, q: Tensor, k_cache: Tensor, v_cache: Tensor, end: int) -> Tensor:
        """q [K, S, G, E], caches [K, T, 1, E] -> [K, S, G, E]."""
        s, group = q.shape[1:3]
        check(end <= self.longest)
        check(end >= s)
        # Row r of a head is query r // G; it may attend to key c if G * start + r >= G * c. The
        # numbers are computed by operators because a constant would have to be added to the model.
        first = (end - s) * group
        rows = torch.arange(first, first + s * group, dtype=torch.float32).unsqueeze(1)
        columns = torch.arange(0, end, dtype=torch.float32).unsqueeze(0)
        ahead = rows - columns * torch.full((1,), float(group))
        mask = torch.clamp(ahead, -1, 0) * torch.full((1,), _MASKED)
        keys, values = (_rows(cache, 0, end) for cache in (k_cache, v_cache))
        return _attended(q, keys, values, mask, self.scale)


class MaskedChunk(nn.Module):
    """Attention under a mask, whose first column that is not hidden is ``first``: of a window.

    Args:
        scale: factor on the scores.
        longest: maximum number of keys that a step reads.
    """

    def __init__(self, scale: float, longest: int) -> None:
        super().__init__()
        self.scale, self.longest = scale, longest

    def forward(
        self, q: Tensor, k_cache: Tensor, v_cache: Tensor, mask: Tensor, first: int, keys: int
    ) -> Tensor:
        """q [K, S, G, E], caches [K, T, 1, E], additive mask [S, T], the number of keys from
        ``first`` on -> [K, S, G, E].
        """
        s, group = q.shape[1:3]
        end = first + keys
        check(first >= 0)
        check(keys >= s)
        check(keys <= self.longest)
        check(end <= k_cache.shape[1])
        # A query's row for each of its heads.
        row_of = torch.arange(0, s * group) // torch.full((1,), group, dtype=torch.int64)
        hidden = torch.index_select(mask[:, first:end], 0, row_of)
        k, v = (_rows(cache, first, end) for cache in (k_cache, v_cache))
        return _attended(q, k, v, hidden, self.scale)


def _rows(cache: Tensor, first: int, end: int) -> Tensor:
    """[K, T, 1, E] -> [K, end - first, E]. The view comes after the cut, in the delegate."""
    heads, _, _, e = cache.shape
    return cache[:, first:end].float().view(heads, end - first, e)


def _attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    heads, s, group, e = q.shape
    rows_of_heads = q.float().view(heads, s * group, e) * torch.full((1,), scale)
    scores = torch.bmm(rows_of_heads, k.transpose(1, 2)) + mask
    return torch.bmm(scores.softmax(-1), v).view(heads, s, group, e).to(q.dtype)
