"""Attention over a cache that is an input, returning the step's new entries: nothing in place.

NPUs support neither mutable buffers nor writes at computed indices. Here a layer takes its cache
[1, K, T, E], attends over it and the step's own keys and values, and returns only those, [1, K, S,
E]; the caller stores them. T is the full context length, not reduced by the step: the last tokens
of a context may come in steps that are mostly padding and then need nearly all of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llm_export.models.components.attention_cores.base import (
    CachedCore,
    CoreShape,
    grouped_attention,
)
from llm_export.models.components.attention_cores.layout import Layout
from llm_export.models.components.attention_cores.planners import (
    SlotPlanner,
    additive,
    causal_mask,
)
from llm_export.models.components.step import Plan, Planned, Step


class StaticIOPlanner(SlotPlanner):
    """Masks [S, T + S]: first the slots before the step's start, then the step itself."""

    def forward(self, input_pos: Tensor, positions: Tensor, until: Tensor | None = None) -> Planned:
        unwritten = (self.slots >= input_pos)[None, :]
        plans = {}
        for window in self.rings:
            past = causal_mask(self.slots, positions, window) | unwritten
            own = causal_mask(positions, positions, window, until)
            plans[window] = Plan(positions, additive(torch.cat((past, own), dim=1)))
        return Planned(plans, positions)


class StaticIOCore(CachedCore):
    """In eager mode the cache is a buffer, as in other kinds; in a program it is
    ``step.caches``.
    """

    def __init__(self, shape: CoreShape, layout: Layout) -> None:
        slots = layout(shape.window).slots
        keys = (1, shape.num_kv_heads, slots, shape.head_dim)
        values = (1, shape.num_kv_heads, slots, shape.value_dim)
        super().__init__(keys, None if shape.shared_values else values)
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        keys = self._extended("k_cache", k.transpose(1, 2), step)
        if self.shape.shared_values:
            values = keys[..., -self.shape.value_dim :]
        else:
            values = self._extended("v_cache", v.transpose(1, 2), step)
        self.lend(step, keys, values)
        return self.attend(q, keys, values, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        assert mask is not None
        keys, values = kept
        return grouped_attention(q, keys, values, mask, self.shape, sinks)

    def _extended(self, name: str, new: Tensor, step: Step) -> Tensor:
        """[1, K, T + S, E]: the cache followed by the new entries, which are also returned."""
        if step.caches is not None:
            step.caches.made.append(new)
            return torch.cat((next(step.caches.given), new), dim=2)
        cache = getattr(self, name)
        whole = torch.cat((cache, new), dim=2)
        cache[:, :, step.plans[self.shape.window].slots] = new
        return whole
