"""Planners: which cache slots a step writes, and what each of its tokens may see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Masks = dict[int | None, Tensor | None]

HIDDEN = -1e9
"""Added to the score of what a token may not see: finite, so that no backend meets inf - inf."""


def causal_mask(slots: Tensor, positions: Tensor, window: int | None) -> Tensor:
    """Positions of slots [T] and of tokens [S] -> additive mask [S, T]."""
    hidden = slots[None, :] > positions[:, None]
    if window is not None:
        hidden = hidden | (slots[None, :] <= positions[:, None] - window)
    return hidden.to(torch.float32) * HIDDEN


class MaskPlanner(nn.Module):
    """One slot a position: masks [S, T], one for each distinct window of the model."""

    slots: Tensor

    def __init__(self, context: int, windows: Sequence[int | None]) -> None:
        super().__init__()
        self.context = context
        self.windows = tuple(windows)
        self.register_buffer("slots", torch.empty(context, dtype=torch.int64), persistent=False)

    def init_buffers(self) -> None:
        self.slots = torch.arange(self.context, device="cpu")

    def forward(self, input_pos: Tensor, positions: Tensor) -> tuple[Masks, int | None]:
        return {w: causal_mask(self.slots, positions, w) for w in self.windows}, None


class StartPlanner(MaskPlanner):
    """Reads the start position as an integer and bounds it, which the custom operators need.

    They mask causally by themselves; only windows need a mask.
    """

    def forward(self, input_pos: Tensor, positions: Tensor) -> tuple[Masks, int | None]:
        start = input_pos[0].item()
        torch._check(start >= 0)
        torch._check(start + positions.shape[0] <= self.context)
        masks: Masks = {
            w: None if w is None else causal_mask(self.slots, positions, w) for w in self.windows
        }
        return masks, start  # type: ignore[return-value]
