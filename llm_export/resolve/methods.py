"""Resolve the methods of a program: one with dynamic length, or several with fixed lengths."""

from __future__ import annotations

from llm_export.backends.capabilities import Capabilities
from llm_export.backends.methods import FORWARD, PREFILL, Methods
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe, filled
from llm_export.resolve.lengths import sinks_of

_DYNAMIC_PREFILL = 512


def methods_of(recipe: Recipe, capabilities: Capabilities) -> Methods:
    """One dynamic method if the backends support it and the recipe does not disable it.

    With fixed shapes a shorter chunk is padded. ring and attention_sink caches overwrite old slots
    and could not undo the padding, so they take one token per call.
    """
    runtime = recipe.runtime
    context = filled(runtime.context_length)
    dynamic = runtime.dynamic_shapes
    if dynamic is None:
        dynamic = capabilities.dynamic_shapes and runtime.attention is not AttentionKind.static_io
    if dynamic:
        length = runtime.prefill_length or min(_DYNAMIC_PREFILL, max(1, context - sinks_of(recipe)))
        # A dynamic range with only one length is a fixed shape.
        return Methods(length > 1, {FORWARD: length})
    if runtime.kv_cache is not KVCacheKind.static:
        length = runtime.prefill_length or 1
    else:
        length = runtime.prefill_length or min(capabilities.prefill_length, context)
    return Methods(False, {FORWARD: 1, PREFILL: length} if length > 1 else {FORWARD: 1})
