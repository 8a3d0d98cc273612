"""Rules of ``train`` and ``quant.qat`` across groups; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_export.checks.fixes import alternatives, option_fix, rule_fix
from llm_export.config.qat_schema import QatConfig, ZeroPointDomain
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.errors import Problem
from llm_export.quant.schemes import SCHEMES, Activations, Flow


def training_problems(recipe: Recipe) -> Iterator[Problem]:
    """Problems that prevent training with the recipe."""
    if not recipe.train.enabled:
        return
    if all(rule.scheme == "none" for rule in recipe.quant.rules):
        what = "no rule quantizes anything: there is nothing to train for"
        yield Problem(what, "train", alternatives("train=off", option_fix(recipe, _trainable)))
    if recipe.checkpoint.adapter_mode is AdapterMode.separate:
        key = "checkpoint.adapter_mode"
        what = "training changes the weights that a separate adapter was made for"
        yield Problem(what, key, alternatives(f"{key}=merged", "train=off"))
    for index, rule in enumerate(recipe.quant.rules):
        for name in ("zero_point", "outliers"):
            if getattr(rule, name):
                what = f"{name} is beside the quantized product, where nothing is trained"
                plain = replace(rule, **{name: type(getattr(rule, name))()})
                fix = alternatives("train=off", rule_fix(recipe, index, plain))
                yield Problem(what, f"quant.rules[{index}].{name}", fix)
    yield from _static_problems(recipe)


def _trainable(rules: Sequence[QuantRule]) -> bool:
    """Whether training has something to train, and nothing that it cannot."""
    return any(r.scheme != "none" for r in rules) and not any(
        r.zero_point or SCHEMES[r.scheme].flow is Flow.cast for r in rules
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
            key = f"quant.rules.{index}.scheme"
            fix = alternatives(f"{key}={static[0]}", f"{key}=none", "train=off")
            yield Problem(what, f"quant.rules[{index}].scheme", fix)
    if ModuleKind.embedding in recipe.train.kinds:
        what = f"an embedding is not trained beside {static[0]}"
        kinds = [kind.value for kind in recipe.train.kinds if kind is not ModuleKind.embedding]
        fix = f"train.kinds=[{','.join(kinds or [ModuleKind.linear.value])}]"
        yield Problem(what, "train.kinds", alternatives(fix, "train=off"))


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
        fix = alternatives("quant.qat.enabled=false", option_fix(recipe, _trainable))
        yield Problem(what, "quant.qat", fix)
    in_floats = not qat.is_symmetric and qat.zero_point_domain is ZeroPointDomain.float
    for index, rule in enumerate(recipe.quant.rules):
        if rule.scheme == "none" or (rule.kind is not None and rule.kind not in qat.kinds):
            continue
        key = f"quant.rules[{index}]"
        if rule.outliers:
            what = "channels that would stay in float were quantized in training"
            yield Problem(
                what, f"{key}.outliers", rule_fix(recipe, index, replace(rule, outliers=0))
            )
        if in_floats and not rule.zero_point:
            what = "the fake quantizer has an offset for each group, which the rule does not allow"
            yield Problem(what, f"{key}.zero_point", alternatives(
                "quant.qat.zero_point_domain=integer",
                rule_fix(recipe, index, replace(rule, zero_point=True)),
            ))  # fmt: skip
        if rule.zero_point and qat.is_symmetric:
            what = "the fake quantizer is symmetric: it has no zero points"
            fix = rule_fix(recipe, index, replace(rule, zero_point=False))
            yield Problem(
                what, f"{key}.zero_point", alternatives(fix, "quant.qat.is_symmetric=false")
            )
