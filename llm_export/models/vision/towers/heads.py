"""Attention between patches whose queries and keys a tower changes by head."""

from __future__ import annotations

import torch
from torch import Tensor


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries, keys and values [1, N, H, E] -> [1, N, H * E]: every patch attends to all.

    In products of three dimensions and a softmax, as ``encoder.FullAttention``.
    """
    n, heads, e = q.shape[1:]
    q, k, v = (x.reshape(n, heads, e).transpose(0, 1) for x in (q * e**-0.5, k, v))
    weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
    return torch.bmm(weights, v).transpose(0, 1).reshape(1, n, heads * e)
