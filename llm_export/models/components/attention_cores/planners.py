"""Planners: the cache slots that a step writes, and the slots that each token may attend to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from llm_export.compat.symbolic_checks import check
from llm_export.models.components.attention_cores.layout import Ring
from llm_export.models.components.step import Plan, Planned

HIDDEN = -1e9
"""Added to masked scores; finite, so that no backend computes inf - inf."""


def causal_mask(
    held: Tensor, positions: Tensor, window: int | None, until: Tensor | None = None
) -> Tensor:
    """Positions held by slots [T] and positions of tokens [S] -> mask [S, T], True where masked.

    Args:
        until: [S], the last position that each token attends to, if it is not its own.
    """
    hidden = held[None, :] > (positions if until is None else until)[:, None]
    if window is not None:
        hidden = hidden | (held[None, :] <= positions[:, None] - window)
    return hidden


def additive(hidden: Tensor) -> Tensor:
    return hidden.to(torch.float32) * HIDDEN


class SlotPlanner(nn.Module):
    """Computes ``layout.Ring`` for each distinct window of the model."""

    slots: Tensor

    def __init__(self, rings: Mapping[int | None, Ring]) -> None:
        super().__init__()
        self.rings = dict(rings)
        self.count = max(r.slots for r in self.rings.values())
        self.register_buffer("slots", torch.empty(self.count, dtype=torch.int64), persistent=False)

    def init_buffers(self) -> None:
        self.slots = torch.arange(self.count, device="cpu")

    def forward(self, input_pos: Tensor, positions: Tensor, until: Tensor | None = None) -> Planned:
        plans = {w: self.plan(r, w, positions, until) for w, r in self.rings.items()}
        return Planned(plans, positions)

    def plan(
        self, ring: Ring, window: int | None, positions: Tensor, until: Tensor | None = None
    ) -> Plan:
        slots = self.slots[: ring.slots]
        if not ring.wraps:
            return Plan(positions, additive(causal_mask(slots, positions, window, until)))
        last = positions[-1:]
        hidden = causal_mask(self.held(ring, last), positions, window, until)
        # In the first round the slots are filled in order.
        hidden = hidden | (slots > last)[None, :]
        return Plan(self.written(ring, positions), additive(hidden))

    def written(self, ring: Ring, positions: Tensor) -> Tensor:
        """[S] the slot of each position."""
        turned = torch.remainder(positions - ring.kept + ring.offset, ring.turning) + ring.kept
        return torch.minimum(positions, turned) if ring.kept else turned

    def held(self, ring: Ring, last: Tensor) -> Tensor:
        """[T] the position that each slot holds after ``last`` [1] is written, if any."""
        slots = self.slots[: ring.slots]
        since = torch.remainder(last - slots[ring.kept :] + ring.offset, ring.turning)
        return torch.cat((slots[: ring.kept], last - since)) if ring.kept else last - since


class SinkPlanner(SlotPlanner):
    """For attention-sink caches, which rotate keys by their position within the cache.

    Once the context is full, all entries except the sinks move back by one position per token.
    """

    def forward(self, input_pos: Tensor, positions: Tensor, until: Tensor | None = None) -> Planned:
        plans = {w: self.plan(r, w, positions, until) for w, r in self.rings.items()}
        ring = next(iter(self.rings.values()))  # the same for all windows
        last = positions[-1:]
        shift = (last + 1 - ring.slots).clamp(min=0)
        # Slots that are still empty are masked, so any row of the table will do.
        places = (self.held(ring, last) - shift).clamp(min=0)
        if ring.kept:
            places = torch.cat((self.slots[: ring.kept], places[ring.kept :]))
        return Planned(plans, positions - shift, places)


class StartPlanner(SlotPlanner):
    """Reads the start position as an integer and bounds it, as the custom operators require.

    They mask causally themselves; only windows and other masks need an explicit one.
    """

    def forward(self, input_pos: Tensor, positions: Tensor, until: Tensor | None = None) -> Planned:
        start = input_pos[0].item()
        check(start >= 0)
        check(start + positions.shape[0] <= self.count)
        plans = {
            w: self.plan(r, w, positions, until)
            if w is not None or until is not None
            else Plan(positions, None)
            for w, r in self.rings.items()
        }
        return Planned(plans, positions, start=start)  # type: ignore[arg-type]
