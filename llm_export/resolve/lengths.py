"""Fill in the lengths that a recipe leaves open, so that each fits the model and the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm_export.config.schema import BenchmarkConfig, KVCacheKind, Recipe, VerifyConfig, filled
from llm_export.config.several import plain, several
from llm_export.models.definitions.base import ContextLimit

WINDOW, PREFILL = 256, 32
"""Tokens of a window of text, in verification and training, and of its prompt in verification."""
PROMPT, DECODE = 512, 128
"""Tokens of the benchmark."""
BENCHMARK = ("prompt_length", "decode_length", "depth")
"""Keys of the benchmark that add up to the tokens that it needs."""
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
        stated = {key: max(several(getattr(bench, key)), default=0) for key in BENCHMARK}
        usual = {"prompt_length": PROMPT, "decode_length": DECODE, "depth": 0}
        longest = sum(stated[key] or usual[key] for key in BENCHMARK)
        needs |= {f"benchmark.{key}": longest if stated[key] else 0 for key in BENCHMARK}
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
    prompts, decodes = several(stated.prompt_length), several(stated.decode_length)
    depths = several(stated.depth)
    room = context - max(depths, default=0)
    if not decodes:
        # In a short context, the usual share of it.
        share = room - max(prompts) if prompts else room * DECODE // (PROMPT + DECODE)
        decodes = (min(DECODE, max(1, share)),)
    prompts = prompts or (min(PROMPT, max(1, room - max(decodes))),)
    if not depths:
        left = context - max(prompts) - max(decodes)
        depths = tuple(depth for depth in stated.default_depth if depth <= left) or (0,)
    return replace(
        stated, prompt_length=plain(prompts), decode_length=plain(decodes), depth=plain(depths)
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
        ("benchmark.depth", plain(several(bench.default_depth)), stated.benchmark.depth,
         bench.depth, bench.enabled),
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
