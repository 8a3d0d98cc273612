"""Fill in the lengths that a recipe leaves open, so that each fits the model and the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm_export.config.schema import BenchmarkConfig, KVCacheKind, Recipe, VerifyConfig, filled
from llm_export.models.definitions.base import ContextLimit

WINDOW, PREFILL = 256, 32
"""Tokens of a window of text, in verification and training, and of its prompt in verification."""
PROMPT, DECODE = 512, 128
"""Tokens of the benchmark."""
EVALUATED = 512
"""Tokens of a window of text in evaluation."""

Notes = tuple[str, ...]


def fill_lengths(recipe: Recipe, limit: ContextLimit | None) -> tuple[Recipe, Notes]:
    """The recipe with a value for each length except ``runtime.prefill_length``, and a line for
    each that differs from its usual value. Stated values are kept, also if they do not fit."""
    context = recipe.runtime.context_length or _context(recipe, limit)
    window = min(WINDOW, context)
    made = replace(
        recipe,
        runtime=replace(recipe.runtime, context_length=context),
        verify=_verify(recipe.verify, window),
        benchmark=_benchmark(recipe.benchmark, context),
        evaluate=replace(recipe.evaluate, window=recipe.evaluate.window or min(EVALUATED, context)),
        train=replace(recipe.train, window=recipe.train.window or window),
    )
    return made, (*_context_notes(recipe, context, limit), *_notes(recipe, made))


def _context(recipe: Recipe, limit: ContextLimit | None) -> int:
    wanted = max(recipe.runtime.default_context, *asked_for(recipe).values())
    return wanted if limit is None else min(wanted, limit.tokens)


def asked_for(recipe: Recipe) -> dict[str, int]:
    """Stated key -> context that it needs."""
    runtime, verify, bench, train = recipe.runtime, recipe.verify, recipe.benchmark, recipe.train
    needs = {"runtime.prefill_length": (runtime.prefill_length or 0) + sinks_of(recipe)}
    if verify.enabled:
        needs["verify.window"] = verify.window or 0
        needs["verify.prefill"] = 1 + (verify.prefill or 0)
    if bench.enabled:
        prompt, decode = bench.prompt_length, bench.decode_length
        needs["benchmark.prompt_length"] = prompt + (decode or DECODE) if prompt else 0
        needs["benchmark.decode_length"] = decode + (prompt or PROMPT) if decode else 0
    if recipe.evaluate.enabled:
        needs["evaluate.window"] = recipe.evaluate.window or 0
    if train.enabled:
        needs["train.window"] = train.window or 0
    return needs


def sinks_of(recipe: Recipe) -> int:
    """Slots of the KV cache that keep the first tokens and take no new ones."""
    runtime = recipe.runtime
    return runtime.sink_tokens if runtime.kv_cache is KVCacheKind.attention_sink else 0


def _verify(stated: VerifyConfig, usual: int) -> VerifyConfig:
    window, prefill = stated.window, stated.prefill
    if window is None:
        window = max(usual, 1 + (prefill or 0))
    return replace(stated, window=window, prefill=prefill or min(PREFILL, max(1, window // 2)))


def _benchmark(stated: BenchmarkConfig, context: int) -> BenchmarkConfig:
    prompt, decode = stated.prompt_length, stated.decode_length
    if decode is None:
        # In a short context, the usual share of it.
        share = context - prompt if prompt else context * DECODE // (PROMPT + DECODE)
        decode = min(DECODE, max(1, share))
    return replace(
        stated, prompt_length=prompt or min(PROMPT, max(1, context - decode)), decode_length=decode
    )


def _context_notes(recipe: Recipe, context: int, limit: ContextLimit | None) -> Iterator[str]:
    usual = recipe.runtime.default_context
    if recipe.runtime.context_length is not None or context == usual:
        return
    if context < usual:
        assert limit is not None
        yield f"runtime.context_length: {context} instead of {usual}, {limit.why}"
    else:
        needs = asked_for(recipe)
        key = max(needs, key=lambda name: needs[name])
        yield f"runtime.context_length: {context} instead of {usual}, as {key} asks for"


def _notes(stated: Recipe, made: Recipe) -> Iterator[str]:
    verify, bench, context = made.verify, made.benchmark, filled(made.runtime.context_length)
    for key, usual, said, value, used in (
        ("verify.window", WINDOW, stated.verify.window, verify.window, verify.enabled),
        ("verify.prefill", PREFILL, stated.verify.prefill, verify.prefill, verify.enabled),
        ("benchmark.prompt_length", PROMPT, stated.benchmark.prompt_length, bench.prompt_length,
         bench.enabled),
        ("benchmark.decode_length", DECODE, stated.benchmark.decode_length, bench.decode_length,
         bench.enabled),
        ("evaluate.window", EVALUATED, stated.evaluate.window, made.evaluate.window,
         made.evaluate.enabled),
        ("train.window", WINDOW, stated.train.window, made.train.window, made.train.enabled),
    ):  # fmt: skip
        if used and said is None and value != usual:
            yield f"{key}: {value} instead of {usual}, to fit {_room(key, stated, context)}"


def _room(key: str, stated: Recipe, context: int) -> str:
    if key == "verify.prefill" and stated.verify.window is not None:
        return f"verify.window={stated.verify.window}"
    return f"a context of {context}"
