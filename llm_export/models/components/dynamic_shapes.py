"""Shapes of tensors of which a dimension may vary."""

from __future__ import annotations

from torch import Tensor


def inferred(x: Tensor) -> list[int]:
    """The leading sizes of x, with at most one -1: delegates support no computed size."""
    lead = list(x.shape[:-1])
    free = [i for i, size in enumerate(lead) if not (isinstance(size, int) and size == 1)]
    if len(free) == 1:
        lead[free[0]] = -1
    return lead
