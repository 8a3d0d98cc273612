"""What every layer needs to know about the current step, computed once a forward pass."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """positions [S] int64; cos, sin [1, S, 1, E]; mask [S, T] additive, or None where the
    core masks by itself; start, the first position as an integer, or None where unused."""

    positions: Tensor
    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    start: int | None
