"""Caches of transformers' encoder–decoders during one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, EncoderDecoderCache

from llm_export.compat.symbolic_checks import check
from llm_export.errors import CheckpointError
from llm_export.models.components.attention_cores.planners import HIDDEN, causal_mask
from llm_export.models.hf.cache import LayerCache, LayerShape, LayerSlots, Now, StepCache
from llm_export.models.hf.states import StateShapes


class CrossSlots(nn.Module):
    """Keys and values of one layer over a source of up to N tokens: [1, K, N, E]."""

    keys: Tensor
    values: Tensor

    def __init__(self, shape: LayerShape, slots: int) -> None:
        super().__init__()
        self.shapes = {
            "keys": (1, shape.kv_heads, slots, shape.key_size),
            "values": (1, shape.kv_heads, slots, shape.value_size),
        }
        self.init_buffers()

    def init_buffers(self) -> None:
        for name, shape in self.shapes.items():
            self.register_buffer(name, torch.zeros(shape), persistent=False)


class Written(CacheLayerMixin):
    """Stores the keys and values of a source."""

    is_compileable = True
    is_sliding = False

    def __init__(self, slots: CrossSlots) -> None:
        super().__init__()
        self.slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the buffers exist already."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        rows = torch.arange(key_states.shape[2])
        self.slots.keys[:, :, rows] = key_states
        self.slots.values[:, :, rows] = value_states
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.slots.keys.shape[2], 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self.slots.keys.shape[2]


class Read(Written):
    """Gives back what ``Written`` has stored."""

    def __init__(self, slots: CrossSlots) -> None:
        super().__init__(slots)
        self.keys, self.values = slots.keys, slots.values

    def get_seq_length(self) -> int:
        return self.slots.keys.shape[2]


class LayerCaches(nn.ModuleList):
    """The caches of all layers of a decoder.

    Args:
        shapes: of each layer's own keys and values, and of those of the source.
        target, source: most tokens of an answer and of a source.
    """

    def __init__(
        self, shapes: list[tuple[LayerShape, LayerShape]], target: int, source: int
    ) -> None:
        super().__init__()
        self.target = target
        for own, cross in shapes:
            slots = LayerSlots(
                LayerCache(own, StateShapes()), target, tokens_first=False, ringed=False
            )
            self.append(nn.ModuleList([slots, CrossSlots(cross, source)]))

    def init_buffers(self) -> None:
        for pair in self:
            for slots in pair:  # type: ignore[attr-defined]
                slots.init_buffers()

    def filling(self) -> EncoderDecoderCache:
        """Of a step that stores the source, and keeps nothing of its own token."""
        cross = Cache(layers=[Written(pair[1]) for pair in self])  # type: ignore[index]
        return EncoderDecoderCache(DynamicCache(), cross)

    def step(self, start: int, positions: Tensor) -> EncoderDecoderCache:
        """Of a step that reads the source."""
        own = StepCache(
            [pair[0] for pair in self],  # type: ignore[index]
            Now(self.target, start, positions),
        )
        cross = Cache(layers=[Read(pair[1]) for pair in self])  # type: ignore[index]
        made = EncoderDecoderCache(own, cross)
        made.is_updated = dict.fromkeys(range(len(self)), True)
        return made


def step_of(input_pos: Tensor, tokens: int, context_length: int) -> tuple[int, Tensor, Tensor]:
    """(first position, positions [S], additive mask [S, C] of the slots) of a step of a decoder."""
    start = cast(int, input_pos[0].item())
    check(start >= 0)
    check(start + tokens <= context_length)
    positions = input_pos + torch.arange(tokens)
    slots = torch.arange(context_length)
    return start, positions, causal_mask(slots, positions, None).to(torch.float32) * HIDDEN


def kept_shapes(
    kind: str, step: Callable[[EncoderDecoderCache], object]
) -> list[tuple[LayerShape, LayerShape]]:
    """Of each layer's own keys and values and of the source's.

    Args:
        kind: the type of the model, for messages.
        step: runs the decoder for one token, with a cache that is empty.

    Raises:
        CheckpointError: there are none, or the decoder does not run.
    """
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    try:
        with torch.no_grad():
            step(cache)
        pairs = zip(
            cache.self_attention_cache.layers, cache.cross_attention_cache.layers, strict=True
        )
        found = [(_shape(own), _shape(cross)) for own, cross in pairs]
    except Exception as error:  # each model fails in its own way
        raise cannot_follow(kind, "decoder", error) from error
    if not found:
        raise CheckpointError(f"'{kind}' keeps no keys and values", where="model.config.model_type")
    return found


def _shape(layer: Any) -> LayerShape:
    return LayerShape(layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3])


def cannot_follow(kind: str, part: str, error: Exception | str) -> CheckpointError:
    """The error of a model type whose encoder or decoder runs in a way of its own."""
    line = error
    if isinstance(error, Exception):
        line = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return CheckpointError(
        f"the {part} of '{kind}' cannot be followed: {line}", where="model.config.model_type"
    )


def ids_of(value: Any) -> list[int]:
    """Token ids of a config value: None, one, or several."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [int(value)]
