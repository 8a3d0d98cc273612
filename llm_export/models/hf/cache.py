"""A static key/value cache for transformers models.

Keys and values are buffers of a module, so that torch.export treats them as mutable state.
Sliding-window layers keep all T slots too; the mask hides tokens outside the window. This is exact
but needs more memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin


class LayerShape(NamedTuple):
    """Number of key/value heads K of a layer, and the head sizes E of keys and of values."""

    kv_heads: int
    key_size: int
    value_size: int


class CacheSlots(nn.Module):
    """Keys and values of one layer.

    [1, K, T, E] as in transformers, or [1, T, K, E] (``tokens_first``) as in the fused operators.
    """

    k_cache: Tensor
    v_cache: Tensor

    def __init__(self, shape: LayerShape, context: int, tokens_first: bool) -> None:
        super().__init__()
        heads = (context, shape.kv_heads) if tokens_first else (shape.kv_heads, context)
        self.shapes = ((1, *heads, shape.key_size), (1, *heads, shape.value_size))
        self.init_buffers()

    def init_buffers(self) -> None:
        keys, values = self.shapes
        self.register_buffer("k_cache", torch.zeros(keys), persistent=False)
        self.register_buffer("v_cache", torch.zeros(values), persistent=False)


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

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.context, 0

    def get_seq_length(self) -> int:
        return self.start

    def get_max_length(self) -> int:
        return self.context


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


class StepCache(Cache):
    """The ``past_key_values`` of a transformers model for one step."""

    def __init__(
        self, slots: list[CacheSlots], context: int, start: int, positions: Tensor, fused: bool
    ) -> None:
        layer = FusedLayer if fused else StaticLayer
        super().__init__(layers=[layer(s, context, start, positions) for s in slots])
