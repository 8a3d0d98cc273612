"""Checks of the quantization rules as a whole, before a run."""

from __future__ import annotations

from llm_export.config.schema import Recipe
from llm_export.errors import Problem
from llm_export.quant.layer_ranges import beyond_words, last_layer, layers_fix
from llm_export.quant.schemes import SCHEMES


def rule_findings(recipe: Recipe) -> list[Problem]:
    return [*_no_rules(recipe), *_layers(recipe)]


def _no_rules(recipe: Recipe) -> list[Problem]:
    """A quantization option whose rules were overridden by an empty list."""
    quant = recipe.quant
    if quant.rules or quant.auto is not None or quant.name == "none":
        return []
    what = f"there are no rules, so nothing would be quantized, and the option is '{quant.name}'"
    schemes = ", ".join(name for name in SCHEMES if name != "none")
    return [Problem(what, "quant.rules", f"rules with one of {schemes}; or quant=none")]


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
        Problem(beyond_words(rule.layers, depth), f"{key}[{index}].layers", layers_fix(depth))
        for key, rules in lists.items()
        for index, rule in enumerate(rules)
        if rule.layers is not None and last_layer(rule.layers) >= depth
    ]
