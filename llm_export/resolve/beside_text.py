"""Rules of shipped quantization options for modules that no text runs through, such as a vision
tower: their matrices may have sizes that groups do not divide, and nothing calibrates them."""

from __future__ import annotations

from dataclasses import replace

from llm_export.backends import method_chains
from llm_export.config.quant_options import quant_options
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import Recipe
from llm_export.models.definitions.base import Definition
from llm_export.quant.nearest_rule import fixed_rule
from llm_export.quant.schemes import SCHEMES, TABLES, Flow

_BITS = 8


def with_rules_beside_text(
    recipe: Recipe, definition: Definition
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a rule in front of those of a shipped option for the linear layers of each
    method beside text: 8 bits per channel, or what its backend runs nearest to it. And a line for
    each."""
    quant = recipe.quant
    beside = {m: f for m, f in definition.further_methods.items() if f.beside_text}
    linear = next((r for r in quant.rules if _is_of_linears(r)), None)
    if not beside or linear is None or not _is_shipped(recipe):
        return recipe, ()
    chains = method_chains(recipe)
    made, notes = [], []
    for method, facts in beside.items():
        backend = chains[method][0].name if method in chains else recipe.backend.name
        rule = _rule(linear, backend)
        if rule is None or (rule.scheme, rule.group_size) == (linear.scheme, linear.group_size):
            continue
        made.append(replace(rule, pattern=facts.modules))
        notes.append(
            f"quant.rules: {rule.scheme} per channel for the linear layers of {method}, instead of "
            f"{_said(linear)}: no text calibrates them"
        )
    quant = replace(quant, rules=[*made, *quant.rules])
    return replace(recipe, quant=quant), tuple(notes)


def _is_of_linears(rule: QuantRule) -> bool:
    if rule.kind not in (None, ModuleKind.linear) or rule.layers is not None:
        return False
    return rule.scheme in SCHEMES and SCHEMES[rule.scheme].flow is Flow.weights


def _is_shipped(recipe: Recipe) -> bool:
    """Whether the rules are those of an option, whose group size the recipe may have changed."""
    shipped = quant_options().get(recipe.quant.name)
    if shipped is None or len(shipped) != len(recipe.quant.rules):
        return False
    return all(
        replace(ours, group_size=None, outliers=0) == replace(theirs, group_size=None, outliers=0)
        for ours, theirs in zip(recipe.quant.rules, shipped, strict=True)
    )


def _rule(linear: QuantRule, backend: str) -> QuantRule | None:
    wanted = SCHEMES[linear.scheme].activations
    scheme = next(
        s.name for s in SCHEMES.values()
        if s.weight_bits == _BITS and s.activations is wanted and s.flow is Flow.weights
    )  # fmt: skip
    plain = QuantRule(scheme=scheme, kind=ModuleKind.linear)
    return fixed_rule(backend, ModuleKind.linear, plain) if backend in TABLES else plain


def _said(rule: QuantRule) -> str:
    groups = "per channel" if rule.group_size is None else f"in groups of {rule.group_size}"
    return f"{rule.scheme} {groups}"
