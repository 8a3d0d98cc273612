"""What every layer needs to know about the current step, computed once a forward pass."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

Rotation = tuple[Tensor, Tensor]


class Step(NamedTuple):
    """The current step.

    Attributes:
        positions: [S] int64.
        rotations: (cos, sin) of each RoPE of the model, [1, S, 1, dim].
        masks: window -> additive mask [S, slots], or None where the core masks by itself.
        start: the first position as an integer, or None where unused.
    """

    positions: Tensor
    rotations: tuple[Rotation, ...]
    masks: dict[int | None, Tensor | None]
    start: int | None
