"""Attention between patches whose queries and keys a tower changes by head."""

from __future__ import annotations

from torch import Tensor

from llm_export.models.vision.towers.encoder import attended_by_head


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Queries, keys and values [1, N, H, E] -> [1, N, H * E]: every patch attends to all.

    As ``encoder.attended_by_head``.
    """
    n, heads, e = q.shape[1:]
    q, k, v = (x.reshape(n, heads, e).transpose(0, 1) for x in (q * e**-0.5, k, v))
    return attended_by_head(q, k, v).transpose(0, 1).reshape(1, n, heads * e)
