"""What tasks other than text generation have, and have not; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.checks.lengths import context_problems
from llm_export.config.quant_schema import CacheDtype, TiedKind
from llm_export.config.schema import AttentionKind, KVCacheKind, LogitsKind
from llm_export.errors import Problem, did_you_mean, excerpt
from llm_export.quant.rounding import ROUNDERS, needs_of
from llm_export.quant.rounding.base import Needs
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.resolve.recipe import ResolvedRecipe


def program_fits(resolved: ResolvedRecipe) -> list[Problem]:
    """What a recipe states that the task's model cannot have."""
    who = f"a model of the task {resolved.task.name}"
    stated = [Problem(f"{who} has no {what}", key, fix) for what, key, fix in _stated(resolved)]
    return [*context_problems(resolved), *stated]


def limits_are_measured(resolved: ResolvedRecipe) -> list[Problem]:
    """Names of ``verify.limits`` that the task does not measure."""
    return list(_unmeasured(resolved))


def _unmeasured(resolved: ResolvedRecipe) -> Iterator[Problem]:
    known = resolved.task.measures
    for name in resolved.recipe.verify.limits:
        if name not in known:
            key = f"verify.limits.{excerpt(str(name))}"
            what = f"the task {resolved.task.name} does not measure '{excerpt(str(name))}'"
            yield Problem(what, key, did_you_mean(str(name), known) if known else "remove it")


def _stated(resolved: ResolvedRecipe) -> Iterator[tuple[str, str, str]]:
    recipe = resolved.recipe
    quant, runtime = recipe.quant, recipe.runtime
    if recipe.train.enabled:
        yield "training here", "train", "train=off"
    if recipe.evaluate.enabled:
        yield "evaluation of its own yet: verification has its figures", "evaluate", "evaluate=off"
    if recipe.benchmark.profile:
        yield "profile in a run", "benchmark.profile", "benchmark.profile=false"
    if recipe.backend.etrecord:
        yield "ETRecord", "backend.etrecord", "backend.etrecord=false"
    if recipe.checkpoint.adapter is not None:
        yield "LoRA adapters", "checkpoint.adapter", "checkpoint.adapter=null"
    if quant.auto is not None:
        yield "measured choice of schemes", "quant.auto", "quant=8da8w"
    yield from _calibrated(resolved)
    if quant.kv_cache is not CacheDtype.float:
        yield "quantized KV cache", "quant.kv_cache", "quant.kv_cache=float"
    kind = runtime.attention.value
    if runtime.attention is not AttentionKind.auto and kind not in resolved.model_attention:
        yield f"'{kind}' attention", "runtime.attention", "runtime.attention=auto"
    if runtime.kv_cache is not KVCacheKind.static:
        yield "cache of another kind", "runtime.kv_cache", "runtime.kv_cache=static"
    if runtime.logits is not LogitsKind.last:
        yield "logits of other tokens by this key", "runtime.logits", "runtime.logits=last"
    if runtime.verify_length:
        yield "speculative decoding", "runtime.verify_length", "runtime.verify_length=0"
    if runtime.transforms:
        yield "plugin transforms", "runtime.transforms", "runtime.transforms=[]"
    for index, rule in enumerate(quant.rules):
        scheme = SCHEMES.get(rule.scheme)
        if scheme is not None and scheme.flow in (Flow.pt2e, Flow.cast):
            yield f"scheme {rule.scheme} yet", f"quant.rules[{index}]", "quant=8da8w or quant=none"


def _calibrated(resolved: ResolvedRecipe) -> Iterator[tuple[str, str, str]]:
    """What needs a text that runs through the model, or parts that the model does not have."""
    quant = resolved.recipe.quant
    for key in ("rotate", "awq"):
        if getattr(quant, key) is not None:
            yield f"{key} yet", f"quant.{key}", f"quant.{key}=null"
    if quant.qat.enabled:
        yield "weights trained for quantization", "quant.qat", "quant.qat.enabled=false"
    if quant.tied is not TiedKind.auto:
        yield "output matrix to store with an embedding", "quant.tied", "quant.tied=auto"
    if quant.smooth is not None and (why := _not_smoothed(resolved)):
        yield f"inputs that can be smoothed: {why}", "quant.smooth", "quant.smooth=null"
    if resolved.task.reads_text:
        return
    method = quant.rounding.method
    if method in ROUNDERS and needs_of(method) is Needs.products:
        yield "calibration", "quant.rounding.method", "quant.rounding.method=minmax"
    for index, rule in enumerate(quant.rules):
        if rule.outliers:
            what = "outlier channels: they are chosen by calibration"
            yield what, f"quant.rules[{index}].outliers", f"quant.rules.{index}.outliers=0"


def _not_smoothed(resolved: ResolvedRecipe) -> str | None:
    definition = resolved.definition
    if "smooth" not in definition.transforms:
        return f"its parts are the library's (model.definition={definition.name})"
    return definition.smoothing_refusal(resolved.recipe)
