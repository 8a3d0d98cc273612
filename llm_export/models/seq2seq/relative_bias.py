"""Relative position bias of T5 (arXiv:1910.10683, section 2.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def distance_buckets(offsets: Tensor, buckets: int, longest: int, both_ways: bool) -> Tensor:
    """Buckets of offsets (key position - query position): exact for small distances, then
    logarithmic up to ``longest``. One-way biases have bucket 0 for keys after the query.
    """
    found = torch.zeros_like(offsets)
    if both_ways:
        buckets //= 2
        found = (offsets > 0).to(torch.int64) * buckets
        distance = offsets.abs()
    else:
        distance = -offsets.clamp(max=0)
    exact = buckets // 2
    # float32 throughout: where a bucket begins depends on how the logarithm is rounded.
    far = torch.log(distance.float() / exact) / math.log(longest / exact) * (buckets - exact)
    far = (exact + far.clamp(min=0).to(torch.int64)).clamp(max=buckets - 1)
    return found + torch.where(distance < exact, distance, far)


class RelativeBias(nn.Module):
    """Bias of each head for each pair of positions, the same in all layers.

    Args:
        slots: most positions.
        longest: distance from which all share a bucket.
        both_ways: whether keys after a query have buckets of their own.
    """

    bucket_of: Tensor

    def __init__(
        self, buckets: int, heads: int, slots: int, *, longest: int, both_ways: bool
    ) -> None:
        super().__init__()
        self.buckets, self.slots = buckets, slots
        self.longest, self.both_ways = longest, both_ways
        # Not nn.Embedding: a few hundred numbers that scores are sensitive to are not quantized.
        self.weight = nn.Parameter(torch.empty(buckets, heads))
        size = 2 * slots - 1
        self.register_buffer("bucket_of", torch.empty(size, dtype=torch.int64), persistent=False)

    def init_buffers(self) -> None:
        offsets = torch.arange(1 - self.slots, self.slots, device="cpu")
        self.bucket_of = distance_buckets(offsets, self.buckets, self.longest, self.both_ways)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Positions [S] and [T] -> [H, S, T]."""
        offsets = keys[None, :] - queries[:, None] + (self.slots - 1)
        return self.weight[self.bucket_of[offsets]].permute(2, 0, 1)
