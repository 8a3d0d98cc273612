"""Rings of slots for the keys and values of layers that attend to a window, and their masks.

``layout.Ring`` says which position each slot holds. The library's rules for masks take positions,
so they hold for the slots of a ring as for a cache with a slot for each position.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.transformers_masks import masks_of, shown
from llm_export.models.components.attention_cores.layout import (
    CacheLimits,
    Ring,
    rewind_limits,
    ring,
)
from llm_export.models.components.attention_cores.planners import SlotPlanner

Windows = dict[int, int]
"""Index of a layer -> the positions that a token sees, its own included."""


class RingPlan:
    """Where a step writes, and what each slot of the rings holds after it; all have the same
    number of slots, since the library makes one mask for all windowed layers.

    Attributes:
        written: [S] slots of the step's positions.
        held: [T] the position in each slot; negative where nothing was written.
    """

    def __init__(self, layout: Ring, planner: SlotPlanner, positions: Tensor) -> None:
        last = positions[-1:]
        self.slots = layout.slots
        self.written = planner.written(layout, positions)
        self.held = planner.held(layout, last)

    def mask(self, **said: Any) -> Tensor:
        """The library's mask, [1, 1, S, T] additive, for a ring or for all positions."""
        device, dtype = said["device"], said["dtype"]
        queries = torch.arange(said["q_length"], device=device) + said["q_offset"]
        ringed = said["kv_length"] == self.slots
        keys = self.held if ringed else torch.arange(said["kv_length"], device=device)
        seen = shown(said, queries, keys)
        if ringed:
            seen = seen & (keys >= 0)
        return torch.where(
            seen, torch.zeros((), device=device, dtype=dtype), torch.finfo(dtype).min
        )


class Rings(nn.Module):
    """The rings of a model's windowed layers.

    Args:
        windows: not empty.
        step: most tokens of a step.
    """

    def __init__(self, windows: Windows, context: int, step: int) -> None:
        super().__init__()
        self.widest = max(windows.values())
        self.layout = ring(CacheLimits(context, step))(self.widest)
        self.planner = SlotPlanner({self.widest: self.layout})
        self.planner.init_buffers()

    def init_buffers(self) -> None:
        self.planner.init_buffers()

    def rewind(self) -> tuple[int, int] | None:
        """See ``layout.rewind_limits``."""
        return rewind_limits({self.widest: self.layout})

    @contextmanager
    def step(self, positions: Tensor) -> Iterator[RingPlan]:
        """Context of a step, in which the model's masks are for the slots."""
        plan = RingPlan(self.layout, self.planner, positions)
        with masks_of(plan.mask):
            yield plan
