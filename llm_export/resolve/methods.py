"""Which steps a program takes: one method of any length, or methods of fixed ones."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.backends import BACKENDS
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe

FORWARD, PREFILL = "forward", "prefill"
"""The method that any runner calls, and the one for a chunk of prompt beside it."""

_DYNAMIC_PREFILL = 512


@dataclass(frozen=True)
class Shapes:
    """What the recipe comes to, now that its backend is known.

    Attributes:
        dynamic: whether ``forward`` takes any number of tokens up to its length.
        methods: method -> tokens of a step.
    """

    dynamic: bool
    methods: dict[str, int]

    @property
    def prefill_length(self) -> int:
        """Most tokens of a step."""
        return max(self.methods.values())


def shapes_of(recipe: Recipe) -> Shapes:
    """Dynamic where the backend can and the recipe does not say otherwise.

    With fixed shapes a step of fewer tokens is padded, which caches that are written in turn
    (ring, endless) could not take back: they have steps of one token.
    """
    runtime = recipe.runtime
    capabilities = BACKENDS.get(recipe.backend.name).capabilities
    dynamic = runtime.dynamic_shapes
    if dynamic is None:
        dynamic = capabilities.dynamic_shapes and runtime.attention is not AttentionKind.static_io
    if dynamic:
        endless = runtime.kv_cache is KVCacheKind.endless
        room = runtime.context_length - (runtime.sink_tokens if endless else 0)
        length = runtime.prefill_length or min(_DYNAMIC_PREFILL, room)
        # A range of one length is none.
        return Shapes(length > 1, {FORWARD: length})
    if runtime.kv_cache is not KVCacheKind.static:
        length = runtime.prefill_length or 1
    else:
        length = runtime.prefill_length or min(capabilities.prefill_length, runtime.context_length)
    return Shapes(False, {FORWARD: 1, PREFILL: length} if length > 1 else {FORWARD: 1})
