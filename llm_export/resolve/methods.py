"""Resolve the methods of a program: one with dynamic length, or several with fixed lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from llm_export.backends.capabilities import Capabilities
from llm_export.backends.methods import FORWARD, PREFILL, VERIFY, Methods
from llm_export.config.schema import AttentionKind, KVCacheKind, LogitsKind, Recipe, filled
from llm_export.resolve.lengths import sinks_of

_DYNAMIC_PREFILL = 512
_UNPADDED_PREFILL = 16


def fitting_methods(
    recipe: Recipe,
    capabilities: Capabilities,
    kinds: Callable[[int], tuple[str, ...]],
    usual_step: int | None = None,
    recurrent: bool = False,
    main: str = FORWARD,
) -> tuple[Methods, tuple[str, ...]]:
    """``methods_of``, and a note where a ring cache shortens the steps that the recipe leaves open.

    A ring has slots for the window and one step; it saves nothing if that is the whole context.

    Args:
        kinds: tokens of a step -> attention and cache kinds of the model.
        usual_step: ``Definition.usual_step`` of the recipe.
        recurrent: whether the model keeps a state that padding would change.
        main: ``Definition.main_method``.
    """
    if usual_step and recipe.runtime.prefill_length is None:
        able = methods_of(recipe, capabilities, recurrent, main).prefill_length
        runtime = replace(recipe.runtime, prefill_length=min(able, usual_step))
        recipe = replace(recipe, runtime=runtime) if able > usual_step else recipe
    usual, ring = methods_of(recipe, capabilities, recurrent, main), KVCacheKind.ring
    length = usual.prefill_length
    if recipe.runtime.kv_cache is not ring or recipe.runtime.prefill_length is not None:
        return usual, ()
    while length > 1 and ring.value not in kinds(length):
        length //= 2
    if length == usual.prefill_length or ring.value not in kinds(length):
        return usual, ()
    shorter = replace(recipe, runtime=replace(recipe.runtime, prefill_length=length))
    note = f"runtime.prefill_length: {length} instead of {usual.prefill_length}, for a ring cache"
    return methods_of(shorter, capabilities, recurrent, main), (
        f"{note} that is shorter than the context",
    )


def methods_of(
    recipe: Recipe, capabilities: Capabilities, recurrent: bool = False, main: str = FORWARD
) -> Methods:
    """One dynamic method if the backends support it and the recipe does not disable it.

    With fixed shapes a shorter chunk is padded. ring and attention_sink caches could not undo the
    padding, so they take one token per call. Nor could recurrent states: what whole chunks leave of
    a prompt is fed token by token, so chunks are short.
    """
    runtime = recipe.runtime
    context = filled(runtime.context_length)
    dynamic = runtime.dynamic_shapes
    if dynamic is None:
        dynamic = capabilities.dynamic_shapes and runtime.attention is not AttentionKind.static_io
    if dynamic:
        length = runtime.prefill_length or min(_DYNAMIC_PREFILL, max(1, context - sinks_of(recipe)))
        # A dynamic range with only one length is a fixed shape.
        lengths = {main: length}
        if length > 1 and runtime.verify_length and runtime.logits is LogitsKind.last:
            lengths[VERIFY] = min(length, runtime.verify_length)
        return Methods(length > 1, lengths, main)
    most = min(capabilities.prefill_length, context)
    if runtime.kv_cache is not KVCacheKind.static:
        most = 1
    elif recurrent:
        most = min(most, _UNPADDED_PREFILL)
    length = runtime.prefill_length or most
    return Methods(False, {main: 1, PREFILL: length} if length > 1 else {main: 1}, main)
