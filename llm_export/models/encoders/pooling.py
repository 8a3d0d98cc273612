"""From a text's token vectors to one vector, as sentence-transformers' ``Pooling`` computes it.

Each takes hidden [B, S, D] and mask [B, S] (1.0 for a text's tokens, which are contiguous, 0.0 for
padding) and gives [B, D]. All but ``max`` are products of a row of weights and the token vectors.
Padding has weight 0, so it changes nothing; a row of padding alone gives zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST = 1e-9
"""Least sum by which weights are divided."""
_LOWEST = -1e9


def _weighted(weights: Tensor, hidden: Tensor) -> Tensor:
    return torch.bmm(weights[:, None], hidden)[:, 0]


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return _weighted(mask / mask.sum(-1, keepdim=True).clamp(min=_LEAST), hidden)


def mean_sqrt_length(hidden: Tensor, mask: Tensor) -> Tensor:
    """The sum by the square root of the length."""
    return _weighted(mask * torch.rsqrt(mask.sum(-1, keepdim=True).clamp(min=_LEAST)), hidden)


def weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Weights grow with the position: 1, 2, 3 (SGPT, arXiv:2202.08904)."""
    weights = mask.cumsum(-1) * mask
    return _weighted(weights / weights.sum(-1, keepdim=True).clamp(min=_LEAST), hidden)


def cls(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first token's."""
    return _weighted(F.relu(mask - F.pad(mask, (1, 0))[:, :-1]), hidden)


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last token's."""
    return _weighted(F.relu(mask - F.pad(mask, (0, 1))[:, 1:]), hidden)


def maximum(hidden: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each channel."""
    return (hidden + (1 - mask)[..., None] * _LOWEST).amax(1)


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean,
    "cls": cls,
    "last": last,
    "max": maximum,
    "weighted_mean": weighted_mean,
    "mean_sqrt_length": mean_sqrt_length,
}
