"""Lengths in tokens that must fit each other and the model; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.config.schema import AttentionKind, KVCacheKind, filled
from llm_export.config.several import several
from llm_export.errors import Problem
from llm_export.resolve.lengths import BENCHMARK, sinks_of
from llm_export.resolve.recipe import ResolvedRecipe

_CONTEXT = "runtime.context_length"


def length_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Stated lengths that do not fit the context, and a stated context that does not fit the
    model. Lengths that the recipe leaves open fit."""
    recipe, limit = resolved.recipe, resolved.definition.context_limit(resolved.recipe)
    context = filled(recipe.runtime.context_length)
    room = context if limit is None else min(context, limit.tokens)
    yield from context_problems(resolved)
    longer = _longer(resolved, room)
    yield from _prefill(resolved, room, longer)
    if recipe.verify.enabled:
        yield from _window(resolved, "verify.window", filled(recipe.verify.window), room, longer)
        yield from _verify_prefill(resolved, room)
    if recipe.evaluate.enabled:
        window = filled(recipe.evaluate.window)
        yield from _window(resolved, "evaluate.window", window, room, longer)
    if recipe.train.enabled:
        yield from _window(resolved, "train.window", filled(recipe.train.window), room, longer)
    yield from _benchmark(resolved, room, longer)


def context_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """A stated context that does not fit the model."""
    recipe, limit = resolved.recipe, resolved.definition.context_limit(resolved.recipe)
    context = filled(recipe.runtime.context_length)
    if limit is not None and context > limit.tokens:
        what = f"{context} is too long: {limit.why}"
        yield Problem(what, _CONTEXT, f"{_CONTEXT}={limit.tokens}")


def _longer(resolved: ResolvedRecipe, room: int) -> str:
    """The end of a fix where a longer context helps too: nothing states a shorter one but the
    recipe."""
    limit = resolved.definition.context_limit(resolved.recipe)
    stated = resolved.stated.runtime.context_length
    able = stated is not None and (limit is None or room < limit.tokens)
    return f", or {_CONTEXT}=null" if able else ""


def _prefill(resolved: ResolvedRecipe, room: int, longer: str) -> Iterator[Problem]:
    recipe, key = resolved.recipe, "runtime.prefill_length"
    length, sinks = recipe.runtime.prefill_length, sinks_of(recipe)
    if room - sinks < 1:
        what = f"{sinks} sink tokens leave no room in a context of {room}"
        yield Problem(what, "runtime.sink_tokens", f"runtime.sink_tokens={room // 2}{longer}")
        return
    if length is not None and length > room - sinks:
        within = "context_length - sink_tokens" if sinks else "context_length"
        what = f"must be between 1 and {within} ({room - sinks}), and is {length}"
        yield Problem(what, key, f"{key}={room - sinks}{longer}")


def _window(
    resolved: ResolvedRecipe, key: str, window: int, room: int, longer: str
) -> Iterator[Problem]:
    group, _, name = key.partition(".")
    if window > room and getattr(getattr(resolved.stated, group), name) is not None:
        what = f"a window of {window} tokens exceeds the context of {room}"
        yield Problem(what, key, f"{key}=null{longer}")


def _verify_prefill(resolved: ResolvedRecipe, room: int) -> Iterator[Problem]:
    verify = resolved.recipe.verify
    if resolved.stated.verify.prefill is None:
        return
    window, prefill = min(filled(verify.window), room), filled(verify.prefill)
    if prefill >= window:
        what = f"must be between 1 and window - 1 ({window - 1}), and is {prefill}"
        yield Problem(what, "verify.prefill", "verify.prefill=null")


def _benchmark(resolved: ResolvedRecipe, room: int, longer: str) -> Iterator[Problem]:
    bench, stated = resolved.recipe.benchmark, resolved.stated.benchmark
    prompt, decode, depth = (max(several(getattr(bench, key))) for key in BENCHMARK)
    if not bench.enabled or prompt + decode + depth <= room:
        return
    keys = [key for key in BENCHMARK if getattr(stated, key) is not None]
    if not keys:
        return  # the context is what does not fit
    at = f" at depth {depth}" if depth else ""
    what = f"{prompt} prompt and {decode} decoded tokens{at} do not fit the context of {room}"
    fix = " ".join(f"benchmark.{key}=null" for key in keys)
    yield Problem(what, f"benchmark.{keys[0]}", f"{fix}{longer}")


def shape_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Shapes of the steps that the kind of cache or of attention excludes."""
    runtime = resolved.recipe.runtime
    if runtime.attention is AttentionKind.static_io and runtime.dynamic_shapes:
        what = "must not be true with attention=static_io"
        yield Problem(
            what, "runtime.dynamic_shapes",
            "runtime.dynamic_shapes=false, or runtime.attention=auto",
        )  # fmt: skip
    if not resolved.methods.dynamic and runtime.prefill_length not in (None, 1):
        yield from _padded(resolved)


def _padded(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Steps of several tokens with fixed shapes are padded, which not every cache can undo."""
    kind, key = resolved.recipe.runtime.kv_cache, "runtime.prefill_length"
    if kind is not KVCacheKind.static:
        what = (
            f"must be 1 with fixed shapes and kv_cache={kind.value}, whose steps cannot be padded"
        )
        yield Problem(what, key, f"{key}=1, or runtime.kv_cache=static")
