"""Check quantization rules against the matrices of the model, before any weight is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_export.checks.fixes import Rules, alternatives, option_fix, rule_fix, without_rule
from llm_export.checks.module_choices import choice_problems
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import Recipe, filled
from llm_export.errors import LlmExportError, Problem
from llm_export.predict.model_shapes import shapes_of
from llm_export.predict.shapes import Matrix
from llm_export.quant.layer_ranges import beyond_words, last_layer, layers_within
from llm_export.quant.layer_spec import layer_of, matches
from llm_export.quant.schemes import SCHEMES, refusal
from llm_export.resolve.recipe import ResolvedRecipe


def module_problems(resolved: ResolvedRecipe) -> list[Problem]:
    """Rules that match no module, name layers that the model does not have, or have groups or
    outlier channels that do not fit a matrix."""
    try:
        model = shapes_of(resolved)
    except LlmExportError as error:
        return [Problem(error.what, error.where or "model", error.fix or "another model")]
    if model is None:
        return []
    recipe = resolved.recipe
    taken = _taken(recipe.quant.rules, model.matrices)
    depth = _depth(recipe, model.matrices)
    found: list[Problem] = []
    for index, (rule, matrices) in enumerate(zip(recipe.quant.rules, taken, strict=True)):
        if rule.scheme not in SCHEMES or _refused(recipe, rule):
            continue  # reported already
        if matrices:
            found += _unfit(recipe, index, matrices, taken)
        elif rule.layers is None or not 0 < depth <= last_layer(rule.layers):
            found.append(_idle(recipe, index))
    found += _beyond(recipe, depth)
    return found if found or _reported(recipe) else choice_problems(resolved, model)


def _taken(rules: Rules, matrices: Sequence[Matrix]) -> list[list[Matrix]]:
    """The matrices of each rule: a matrix belongs to the first rule that matches it."""
    taken: list[list[Matrix]] = [[] for _ in rules]
    for matrix in matrices:
        for rule, mine in zip(rules, taken, strict=True):
            if matches(rule, matrix.name, matrix.kind):
                mine.append(matrix)
                break
    return taken


def _reported(recipe: Recipe) -> bool:
    """Whether another check reports a rule."""
    return any(rule.scheme not in SCHEMES or _refused(recipe, rule) for rule in recipe.quant.rules)


def _refused(recipe: Recipe, rule: QuantRule) -> bool:
    kinds = [rule.kind] if rule.kind else list(ModuleKind)
    return any(refusal(recipe.backend.name, kind, rule) for kind in kinds)


def _idle(recipe: Recipe, index: int) -> Problem:
    rule = recipe.quant.rules[index]
    said = {"kind": rule.kind and rule.kind.value, "pattern": rule.pattern, "layers": rule.layers}
    words = ", ".join(f"{key}={value}" for key, value in said.items())
    return Problem(
        f"the rule matches no module: {words}", f"quant.rules[{index}]",
        f"{without_rule(recipe, index)}, or move the rule up: an earlier one may take its modules",
    )  # fmt: skip


def _depth(recipe: Recipe, matrices: Sequence[Matrix]) -> int:
    """Layers of the model; 0 if neither its config nor its names tell."""
    stated = recipe.model.config.get("num_hidden_layers")
    if isinstance(stated, int):
        return stated
    return 1 + max((n for m in matrices if (n := layer_of(m.name)) is not None), default=-1)


def _unfit(
    recipe: Recipe, index: int, matrices: Sequence[Matrix], taken: Sequence[Sequence[Matrix]]
) -> Iterator[Problem]:
    rule = recipe.quant.rules[index]
    if rule.scheme == "none":
        return
    group, outliers = rule.group_size, filled(rule.outliers)
    odd = [m for m in matrices if group is not None and m.columns % group]
    if group is not None and odd:
        more = f", nor those of {len(odd) - 1} other matrices" if len(odd) > 1 else ""
        yield Problem(
            f"group_size {group} does not divide the {odd[0].columns} inputs of "
            f"'{odd[0].name}'{more}",
            f"quant.rules[{index}].group_size",
            _group_fix(recipe, index, group, taken),
        )
    few = min(matrices, key=lambda matrix: matrix.columns)
    if outliers and outliers >= few.columns:
        fewer = rule_fix(recipe, index, replace(rule, outliers=min(8, few.columns // 8)))
        yield Problem(
            f"{outliers} outliers of the {few.columns} inputs of '{few.name}'",
            f"quant.rules[{index}].outliers", fewer,
        )  # fmt: skip


def _group_fix(
    recipe: Recipe, index: int, group: int, taken: Sequence[Sequence[Matrix]]
) -> str:  # fmt: skip
    """The next smaller group size that divides all inputs; else a scheme of as many bits or more
    that fits; else a scale per channel, which loses most."""
    rule, backend = recipe.quant.rules[index], recipe.backend.name
    # A shared size changes the other rules that refer to it.
    shared = group == recipe.quant.group_size
    mine = [
        (other, matrices)
        for i, (other, matrices) in enumerate(zip(recipe.quant.rules, taken, strict=True))
        if i == index or (shared and other.group_size == group)
    ]
    common = math.gcd(*(m.columns for _, matrices in mine for m in matrices))

    def runs(size: int | None) -> bool:
        return all(
            refusal(backend, kind, replace(other, group_size=size)) is None
            for other, matrices in mine
            for kind in ({m.kind for m in matrices} or {other.kind or ModuleKind.linear})
        )

    sizes = [size for size in range(common, 0, -1) if common % size == 0 and runs(size)]
    smaller = [size for size in sizes if size <= group]
    if smaller or sizes:
        best = smaller[0] if smaller else sizes[-1]
        return rule_fix(recipe, index, replace(rule, group_size=best))
    bits = SCHEMES[rule.scheme].weight_bits
    every = [m for matrices in taken for m in matrices]
    return alternatives(
        option_fix(recipe, lambda rules: _fits(rules, every, bits)),
        rule_fix(recipe, index, replace(rule, group_size=None)) if runs(None) else None,
    ) or "quant=none"  # fmt: skip


def _fits(rules: Rules, matrices: Sequence[Matrix], bits: int) -> bool:
    """Whether the rules have so many bits or more, and groups that divide the matrices."""
    taken = _taken(rules, matrices)
    return all(
        rule.scheme in SCHEMES
        and SCHEMES[rule.scheme].weight_bits >= bits
        and not any(rule.group_size and m.columns % rule.group_size for m in mine)
        for rule, mine in zip(rules, taken, strict=True)
    )


def _beyond(recipe: Recipe, depth: int) -> Iterator[Problem]:
    """As ``quant_rules``, for models whose config names its depth in another way."""
    if isinstance(recipe.model.config.get("num_hidden_layers"), int):
        return
    for index, rule in enumerate(recipe.quant.rules):
        if rule.layers is not None and depth and last_layer(rule.layers) >= depth:
            yield Problem(
                beyond_words(rule.layers, depth),
                f"quant.rules[{index}].layers",
                f"quant.rules.{index}.layers={layers_within(rule.layers, depth)}",
            )
