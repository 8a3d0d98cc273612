"""Planners: which cache slots a step writes, and what each of its tokens may see."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from llm_export.compat.symbolic_checks import check
from llm_export.models.components.attention_cores.layout import Ring
from llm_export.models.components.step import Plan, Planned

HIDDEN = -1e9
"""Added to the score of what a token may not see: finite, so that no backend meets inf - inf."""


def causal_mask(held: Tensor, positions: Tensor, window: int | None) -> Tensor:
    """Positions that slots hold [T] and positions of tokens [S] -> what is hidden, [S, T]."""
    hidden = held[None, :] > positions[:, None]
    if window is not None:
        hidden = hidden | (held[None, :] <= positions[:, None] - window)
    return hidden


def additive(hidden: Tensor) -> Tensor:
    return hidden.to(torch.float32) * HIDDEN


class SlotPlanner(nn.Module):
    """The arithmetic of ``layout.Ring`` for each distinct window of the model."""

    slots: Tensor

    def __init__(self, rings: Mapping[int | None, Ring]) -> None:
        super().__init__()
        self.rings = dict(rings)
        self.count = max(r.slots for r in self.rings.values())
        self.register_buffer("slots", torch.empty(self.count, dtype=torch.int64), persistent=False)

    def init_buffers(self) -> None:
        self.slots = torch.arange(self.count, device="cpu")

    def forward(self, input_pos: Tensor, positions: Tensor) -> Planned:
        plans = {w: self.plan(r, w, positions) for w, r in self.rings.items()}
        return Planned(plans, positions)

    def plan(self, ring: Ring, window: int | None, positions: Tensor) -> Plan:
        slots = self.slots[: ring.slots]
        if not ring.wraps:
            return Plan(positions, additive(causal_mask(slots, positions, window)))
        last = positions[-1:]
        hidden = causal_mask(self.held(ring, last), positions, window)
        # The first round fills the slots in order.
        hidden = hidden | (slots > last)[None, :]
        return Plan(self.written(ring, positions), additive(hidden))

    def written(self, ring: Ring, positions: Tensor) -> Tensor:
        """[S] the slot of each position."""
        turned = torch.remainder(positions - ring.kept + ring.offset, ring.turning) + ring.kept
        return torch.minimum(positions, turned) if ring.kept else turned

    def held(self, ring: Ring, last: Tensor) -> Tensor:
        """[T] the position that each slot holds once ``last`` [1] is written, where any."""
        slots = self.slots[: ring.slots]
        since = torch.remainder(last - slots[ring.kept :] + ring.offset, ring.turning)
        return torch.cat((slots[: ring.kept], last - since)) if ring.kept else last - since


class SinkPlanner(SlotPlanner):
    """For caches that rotate by their own positions: those within the cache.

    Once the context is full, everything but the sinks moves back by one place a token.
    """

    def forward(self, input_pos: Tensor, positions: Tensor) -> Planned:
        plans = {w: self.plan(r, w, positions) for w, r in self.rings.items()}
        ring = next(iter(self.rings.values()))  # the same for all windows
        last = positions[-1:]
        shift = (last + 1 - ring.slots).clamp(min=0)
        # A slot that is still empty is hidden; any row of the table does.
        places = (self.held(ring, last) - shift).clamp(min=0)
        if ring.kept:
            places = torch.cat((self.slots[: ring.kept], places[ring.kept :]))
        return Planned(plans, positions - shift, places)


class StartPlanner(SlotPlanner):
    """Reads the start position as an integer and bounds it, which the custom operators need.

    They mask causally by themselves; only windows need a mask.
    """

    def forward(self, input_pos: Tensor, positions: Tensor) -> Planned:
        start = input_pos[0].item()
        check(start >= 0)
        check(start + positions.shape[0] <= self.count)
        plans = {
            w: Plan(positions, None if w is None else self.plan(r, w, positions).mask)
            for w, r in self.rings.items()
        }
        return Planned(plans, positions, start=start)  # type: ignore[arg-type]
