"""Checks of the quantization rules as a whole, before a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm_export.checks.fixes import (
    alternatives,
    is_option,
    option_fix,
    other_backends,
    rule_fix,
)
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import Recipe
from llm_export.errors import Problem, nearest
from llm_export.quant.layer_ranges import beyond_words, last_layer, layers_within
from llm_export.quant.nearest_rule import fixed_rule
from llm_export.quant.schemes import SCHEMES, refusal, refused_everywhere, supported


def rule_findings(recipe: Recipe) -> list[Problem]:
    return [*_no_rules(recipe), *_layers(recipe)]


def scheme_problems(recipe: Recipe) -> Iterator[Problem]:
    """Rules that the backend does not support. One cause with one fix is told once, with all kinds
    of modules that it concerns."""
    found: dict[tuple[object, str], list[tuple[str, int, ModuleKind]]] = {}
    for index, rule in enumerate(recipe.quant.rules):
        kinds = [rule.kind] if rule.kind else list(ModuleKind)
        for kind in kinds if rule.scheme in SCHEMES else kinds[:1]:
            why = refusal(recipe.backend.name, kind, rule)
            if why:
                fix = _scheme_fix(recipe, index, rule, kind)
                able = tuple(supported(recipe.backend.name, kind))
                cause = why if rule.scheme in able else (rule.scheme, able)
                found.setdefault((cause, fix), []).append((why, index, kind))
    for (_, fix), ((why, index, _), *others) in found.items():
        also = dict.fromkeys(kind.value for said, _, kind in others if said != why)
        more = f"; the same for {' and '.join(also)} modules" if also else ""
        yield Problem(why + more, f"quant.rules[{index}]", fix)


def _scheme_fix(recipe: Recipe, index: int, rule: QuantRule, kind: ModuleKind) -> str:
    backend = recipe.backend.name
    if rule.scheme not in SCHEMES:
        known = list(supported(backend, kind))
        near = replace(rule, scheme=(nearest(rule.scheme, known) or ["none"])[0])
        return rule_fix(recipe, index, fixed_rule(backend, kind, near) or QuantRule(scheme="none"))
    others = other_backends(recipe.quant.rules, but=backend)
    if is_option(recipe) and not _regrouped(backend, kind, rule):
        return alternatives(option_fix(recipe, lambda rules: True) or "quant=none", others)
    if rule.kind is None and not refused_everywhere(backend, rule):
        # The rule is for every kind of module, and the backend runs it for some.
        able = next(k for k in ModuleKind if refusal(backend, k, rule) is None)
        return alternatives(f"quant.rules.{index}.kind={able.value}", others)
    made = fixed_rule(backend, kind, rule)
    return alternatives(rule_fix(recipe, index, made) if made else "quant=none", others)


def _regrouped(backend: str, kind: ModuleKind, rule: QuantRule) -> bool:
    """Whether the backend runs the rule's scheme, with another group size or zero point."""
    made = fixed_rule(backend, kind, rule)
    return made is not None and made.scheme == rule.scheme


def _no_rules(recipe: Recipe) -> list[Problem]:
    """A quantization option whose rules were overridden by an empty list."""
    quant = recipe.quant
    if quant.rules or quant.auto is not None or quant.name == "none":
        return []
    what = f"there are no rules, so nothing would be quantized, and the option is '{quant.name}'"
    return [Problem(what, "quant.rules", "quant=none, or quant.rules=[{scheme: NAME}]")]


def _layers(recipe: Recipe) -> list[Problem]:
    depth = recipe.model.config.get("num_hidden_layers")
    if not isinstance(depth, int):
        return []  # reported once the model is known
    auto = recipe.quant.auto
    lists = {
        "quant.rules": recipe.quant.rules,
        "quant.auto.candidates": auto.candidates if auto else [],
    }
    return [
        Problem(
            beyond_words(rule.layers, depth),
            f"{key}[{index}].layers",
            f"{key}.{index}.layers={layers_within(rule.layers, depth)}",
        )
        for key, rules in lists.items()
        for index, rule in enumerate(rules)
        if rule.layers is not None and last_layer(rule.layers) >= depth
    ]
