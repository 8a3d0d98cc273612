"""Attention of a step of several tokens as products and a softmax that XNNPACK computes.

The modules are lowered by themselves and take the place of ExecuTorch's fused operator. With
``in_turn`` one KV head is computed after the other: XNNPACK then holds the scores of one head, and
they are more often in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from llm_export.compat.symbolic_checks import check

_HIDING = float(1 << 18)
"""Scores of keys that a query must not attend to become less than minus half of it. As a power of
two it keeps products with positions exact in float32, up to 4 million rows.
"""


class CausalChunk(nn.Module):
    """Causal attention of the last S of ``end`` tokens over a cache that contains all of them.

    Args:
        scale: factor on the scores.
        longest: maximum number of tokens in the cache.
        in_turn: one KV head after the other.
    """

    def __init__(self, scale: float, longest: int, in_turn: bool = False) -> None:
        super().__init__()
        self.scale, self.longest, self.in_turn = scale, longest, in_turn

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
        allowed = (rows + _number(0.5)) * _number(_HIDING)
        most = allowed - columns * _number(group * _HIDING)

        def hide(scores: Tensor) -> Tensor:
            """One pass over the scores; a sum with a mask would need more to compute the mask."""
            return torch.minimum(scores, most)

        return _attended(q, k_cache, v_cache, (0, end), hide, self.scale, self.in_turn)


class MaskedChunk(nn.Module):
    """Attention under a mask, whose first column that is not hidden is ``first``: of a window.

    Args:
        scale: factor on the scores.
        longest: maximum number of keys that a step reads.
        in_turn: one KV head after the other.
    """

    def __init__(self, scale: float, longest: int, in_turn: bool = False) -> None:
        super().__init__()
        self.scale, self.longest, self.in_turn = scale, longest, in_turn

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

        def hide(scores: Tensor) -> Tensor:
            return scores + hidden

        return _attended(q, k_cache, v_cache, (first, end), hide, self.scale, self.in_turn)


def _attended(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    span: tuple[int, int],
    hide: Callable[[Tensor], Tensor],
    scale: float,
    in_turn: bool,
) -> Tensor:
    """``hide`` is given scores [heads, S * G, keys], of all heads or of one."""
    heads, s, group, e = q.shape
    rows = q.float().view(heads, s * group, e) * _number(scale)

    def attend(rows: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.bmm(hide(torch.bmm(rows, k.transpose(1, 2))).softmax(-1), v)

    if in_turn and heads > 1:
        parts = [
            attend(rows[h : h + 1], _of_head(k_cache, h, *span), _of_head(v_cache, h, *span))
            for h in range(heads)
        ]
        made = torch.cat(parts)
    else:
        made = attend(rows, _of_all(k_cache, *span), _of_all(v_cache, *span))
    return made.view(heads, s, group, e).to(q.dtype)


def _of_all(cache: Tensor, first: int, end: int) -> Tensor:
    """[K, T, 1, E] -> [K, end - first, E]. The view comes after the cut, in the delegate."""
    heads, _, _, e = cache.shape
    return cache[:, first:end].float().view(heads, end - first, e)


def _of_head(cache: Tensor, head: int, first: int, end: int) -> Tensor:
    """[K, T, 1, E] -> [1, end - first, E]. In a view by rows it is cut once, not twice."""
    heads, slots, _, e = cache.shape
    at = head * slots
    cut = cache.view(heads * slots, 1, e)[at + first : at + end]
    return cut.float().view(1, end - first, e)


def _number(value: float) -> Tensor:
    return torch.full((1,), value)
