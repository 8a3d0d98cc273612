"""Attention of vision towers: every patch attends to all others."""

from __future__ import annotations

import torch
from torch import Tensor


def full_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries, keys and values [1, N, H, E] -> [1, N, H * E].

    Written as products of three dimensions and a softmax, which delegates take; the fused operator
    is decomposed into the same with expansions in between.
    """
    n, heads, e = q.shape[1:]
    q, k, v = (x.view(n, heads, e).transpose(0, 1) for x in (q * e**-0.5, k, v))
    weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
    return torch.bmm(weights, v).transpose(0, 1).reshape(1, n, heads * e)
