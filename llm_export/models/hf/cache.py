"""A static key/value cache for transformers models.

Keys and values are buffers of a module, so that torch.export treats them as mutable state. A layer
has a slot for each of T positions, or a ring of slots for its window and a step (``windows``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin, DummyLayer

from llm_export.models.hf.rings import RingPlan
from llm_export.models.hf.states import StateLayer, StateShapes, StateSlots


class LayerShape(NamedTuple):
    """Number of key/value heads K of a layer, and the head sizes E of keys and of values.

    ``indexer_size``: of the keys by which a layer of sparse attention chooses positions (DeepSeek
    V3.2, https://arxiv.org/abs/2512.02556); None for others.
    """

    kv_heads: int
    key_size: int
    value_size: int
    indexer_size: int | None = None


class LayerCache(NamedTuple):
    """What a layer keeps: keys and values, states, both, or nothing."""

    attention: LayerShape | None
    states: StateShapes


class CacheSlots(nn.Module):
    """Keys and values of one layer.

    [1, K, T, E] as in transformers, or [1, T, K, E] (``tokens_first``) as in the fused operators.
    Keys of an indexer are [1, T, E].
    """

    k_cache: Tensor
    v_cache: Tensor
    indexer_cache: Tensor

    def __init__(self, shape: LayerShape, context: int, tokens_first: bool) -> None:
        super().__init__()
        heads = (context, shape.kv_heads) if tokens_first else (shape.kv_heads, context)
        self.slot_dim = 1 if tokens_first else 2
        self.slot_dims = {"indexer_cache": 1}
        self.shapes: dict[str, tuple[int, ...]] = {
            "k_cache": (1, *heads, shape.key_size), "v_cache": (1, *heads, shape.value_size)
        }  # fmt: skip
        if shape.indexer_size is not None:
            self.shapes["indexer_cache"] = (1, context, shape.indexer_size)
        self.init_buffers()

    def init_buffers(self) -> None:
        for name, shape in self.shapes.items():
            self.register_buffer(name, torch.zeros(shape), persistent=False)


class StaticLayer(CacheLayerMixin):
    """A layer during one step: writes at the step's positions, returns all T slots."""

    is_compileable = True
    is_sliding = False

    def __init__(self, slots: CacheSlots, context: int, start: int, positions: Tensor) -> None:
        super().__init__()
        self.slots, self.context, self.start, self.positions = slots, context, start, positions

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the buffers exist already."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        self.slots.k_cache[:, :, self.positions] = key_states
        self.slots.v_cache[:, :, self.positions] = value_states
        return self.slots.k_cache, self.slots.v_cache

    def update_indexer(self, indexer_key_states: Tensor) -> Tensor:
        self.slots.indexer_cache[:, self.positions] = indexer_key_states
        return self.slots.indexer_cache

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.context, 0

    def get_seq_length(self) -> int:
        return self.start

    def get_max_length(self) -> int:
        return self.context


class RingLayer(StaticLayer):
    """Writes at the slots that the step's positions have in a ring, and returns the ring."""

    is_sliding = True

    def __init__(self, slots: CacheSlots, start: int, plan: RingPlan) -> None:
        super().__init__(slots, plan.slots, start, plan.written)


class FusedLayer(StaticLayer):
    """Writes by ``llama::update_cache``. Its result, [1, T, K, E], is only for
    ``attention.custom_op``: transposing it back would copy the whole cache.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        update = torch.ops.llama.update_cache
        update(key_states.transpose(1, 2).contiguous(), self.slots.k_cache, self.start)
        update(value_states.transpose(1, 2).contiguous(), self.slots.v_cache, self.start)
        return self.slots.k_cache, self.slots.v_cache


class StaticStateLayer(StateLayer, StaticLayer):  # type: ignore[override]
    """Keys and values, and states."""

    def __init__(self, states: StateSlots, *kept: Any) -> None:
        StaticLayer.__init__(self, *kept)
        StateLayer.__init__(self, states)


class FusedStateLayer(StateLayer, FusedLayer):  # type: ignore[override]
    """Keys and values as ``FusedLayer`` has them, and states."""

    def __init__(self, states: StateSlots, *kept: Any) -> None:
        FusedLayer.__init__(self, *kept)
        StateLayer.__init__(self, states)


class RingStateLayer(StateLayer, RingLayer):  # type: ignore[override]
    """Keys and values of a window, and states."""

    def __init__(self, states: StateSlots, *kept: Any) -> None:
        RingLayer.__init__(self, *kept)
        StateLayer.__init__(self, states)


class Now(NamedTuple):
    """A step: its first position, its positions [S], and how they are kept.

    Attributes:
        fused: whether the fused operators keep keys and values.
        plan: of the layers with a ring.
    """

    context: int
    start: int
    positions: Tensor
    fused: bool = False
    plan: RingPlan | None = None


class LayerSlots(nn.Module):
    """The buffers of one layer.

    Args:
        slots: number of positions that keys and values are kept of.
        ringed: whether their slots are used again.
    """

    def __init__(self, kept: LayerCache, slots: int, tokens_first: bool, ringed: bool) -> None:
        super().__init__()
        self.ringed = ringed
        self.attention = kept.attention and CacheSlots(kept.attention, slots, tokens_first)
        self.states = StateSlots(kept.states) if kept.states else None

    def init_buffers(self) -> None:
        for slots in (self.attention, self.states):
            if slots is not None:
                slots.init_buffers()

    def step(self, now: Now) -> Any:
        """The layer of a ``Cache`` for one step."""
        if self.attention is None:
            return DummyLayer() if self.states is None else StateLayer(self.states)
        if self.ringed:
            assert now.plan is not None
            ring = (self.attention, now.start, now.plan)
            return RingLayer(*ring) if self.states is None else RingStateLayer(self.states, *ring)
        kept = (self.attention, now.context, now.start, now.positions)
        if self.states is None:
            return FusedLayer(*kept) if now.fused else StaticLayer(*kept)
        both = FusedStateLayer if now.fused else StaticStateLayer
        return both(self.states, *kept)


class StepCache(Cache):
    """The ``past_key_values`` of a transformers model for one step."""

    def __init__(self, slots: list[LayerSlots], now: Now) -> None:
        super().__init__(layers=[each.step(now) for each in slots])
        self.start, self.context = now.start, now.context
        self._read: Tensor | None = None
        self._taken = 0
        fresh = now.positions[:1] == 0
        for each in slots:
            if each.states is not None:
                each.states.begin(fresh)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.start

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        layer = self.layers[layer_idx]
        return layer.context if isinstance(layer, RingLayer) else self.context, 0

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> None:
        """Nothing: the library then takes the form for several tokens, which is replaced and begins
        with ``state_read``. Its form for one token leaves out limits of the time step.
        """
        self._read, self._taken = super().get_recurrent_state(layer_idx, state_idx), 0

    def state_read(self, dims: int) -> Tensor | None:
        """The state that a layer has read last, if it has ``dims`` dimensions. Of one that has a
        dimension of heads too, [1, H, ...], one head after the other.
        """
        if self._read is None or self._read.dim() == dims:
            return self._read
        self._taken += 1
        return self._read[:, self._taken - 1]
