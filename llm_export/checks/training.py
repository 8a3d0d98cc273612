"""Rules of ``train`` and ``quant.qat`` across groups; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm_export.config.qat_schema import QatConfig, ZeroPointDomain
from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.errors import Problem
from llm_export.quant.schemes import SCHEMES, Activations, Flow


def training_problems(recipe: Recipe) -> Iterator[Problem]:
    """Problems that prevent training with the recipe."""
    settings, limit = recipe.train, recipe.runtime.context_length
    if not settings.enabled:
        return
    if all(rule.scheme == "none" for rule in recipe.quant.rules):
        what = "no rule quantizes anything: there is nothing to train for"
        yield Problem(what, "train", "train=off, or a quant option such as quant=8da4w")
    if recipe.checkpoint.adapter_mode is AdapterMode.separate:
        key = "checkpoint.adapter_mode"
        what = "training changes the weights that a separate adapter was made for"
        yield Problem(what, key, f"{key}=merged, or train=off")
    for index, rule in enumerate(recipe.quant.rules):
        for name in ("zero_point", "outliers"):
            if getattr(rule, name):
                what = f"{name} is beside the quantized product, where nothing is trained"
                yield Problem(
                    what, f"quant.rules[{index}].{name}", f"a rule without {name}, or train=off"
                )
    yield from _static_problems(recipe)
    if settings.window > limit:
        what = f"a window of {settings.window} tokens exceeds the context of {limit}"
        yield Problem(
            what, "train.window", f"train.window={limit} or a longer runtime.context_length"
        )


def _static_problems(recipe: Recipe) -> Iterator[Problem]:
    """Static schemes are trained in a captured graph. There, the fake quantization of other flows
    consists of operators without gradient, so the two cannot be combined."""
    rules = [(i, SCHEMES.get(rule.scheme)) for i, rule in enumerate(recipe.quant.rules)]
    static = [scheme.name for _, scheme in rules if scheme and scheme.flow is Flow.pt2e]
    if not static:
        return
    for index, scheme in rules:
        if scheme and scheme.activations is Activations.dynamic:
            what = f"{scheme.name} rounds activations where {static[0]} is trained in a graph"
            yield Problem(
                what, f"quant.rules[{index}].scheme", f"{static[0]} or none there, or train=off"
            )
    if ModuleKind.embedding in recipe.train.kinds:
        what = f"an embedding is not trained beside {static[0]}"
        yield Problem(what, "train.kinds", "train.kinds=[linear] or train.kinds=[linear,head]")


def fake_quantizer_problems(recipe: Recipe) -> Iterator[Problem]:
    """Problems with the settings of ``quant.qat``."""
    qat = recipe.quant.qat
    if not qat.enabled:
        if replace(qat, enabled=True) != QatConfig(enabled=True):
            what = "it says how the checkpoint was trained, and that it was not"
            yield Problem(what, "quant.qat", "quant.qat.enabled=true")
        return
    if all(rule.scheme == "none" for rule in recipe.quant.rules):
        what = "no rule quantizes what was trained to be quantized"
        yield Problem(
            what, "quant.qat", "a quant option with the bits and the group size of training"
        )
    in_floats = not qat.is_symmetric and qat.zero_point_domain is ZeroPointDomain.float
    for index, rule in enumerate(recipe.quant.rules):
        if rule.scheme == "none" or (rule.kind is not None and rule.kind not in qat.kinds):
            continue
        key = f"quant.rules[{index}]"
        if rule.outliers:
            what = "channels that would stay in float were quantized in training"
            yield Problem(what, f"{key}.outliers", "outliers: 0")
        if in_floats and not rule.zero_point:
            what = "the fake quantizer has an offset for each group, which the rule does not allow"
            yield Problem(what, f"{key}.zero_point", "zero_point: true")
        if rule.zero_point and qat.is_symmetric:
            what = "the fake quantizer is symmetric: it has no zero points"
            yield Problem(what, f"{key}.zero_point", "zero_point: false")
