"""Which methods a program has: one of any length, or several of fixed lengths."""

from __future__ import annotations

from llm_export.backends.capabilities import Capabilities
from llm_export.backends.methods import FORWARD, PREFILL, Methods
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe

_DYNAMIC_PREFILL = 512


def methods_of(recipe: Recipe, capabilities: Capabilities) -> Methods:
    """Dynamic where the backends can and the recipe does not say otherwise.

    With fixed shapes a step of fewer tokens is padded, which caches that are written in turn
    (ring, attention_sink) could not take back: they have steps of one token.
    """
    runtime = recipe.runtime
    dynamic = runtime.dynamic_shapes
    if dynamic is None:
        dynamic = capabilities.dynamic_shapes and runtime.attention is not AttentionKind.static_io
    if dynamic:
        sinks = runtime.kv_cache is KVCacheKind.attention_sink
        capacity = runtime.context_length - (runtime.sink_tokens if sinks else 0)
        length = runtime.prefill_length or min(_DYNAMIC_PREFILL, capacity)
        # A range of one length is none.
        return Methods(length > 1, {FORWARD: length})
    if runtime.kv_cache is not KVCacheKind.static:
        length = runtime.prefill_length or 1
    else:
        length = runtime.prefill_length or min(capabilities.prefill_length, runtime.context_length)
    return Methods(False, {FORWARD: 1, PREFILL: length} if length > 1 else {FORWARD: 1})
