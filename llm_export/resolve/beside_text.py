"""Rules of shipped quantization options for modules that no text runs through, such as a vision
tower: their matrices may have sizes that groups do not divide, and nothing calibrates them."""

from __future__ import annotations

from dataclasses import replace

from llm_export.backends import method_chains
from llm_export.config.quant_options import quant_options
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import Recipe
from llm_export.models.definitions.base import Definition
from llm_export.quant.nearest_rule import far
from llm_export.quant.schemes import SCHEMES, TABLES, Flow, supported

_BITS = 8


def with_rules_beside_text(
    recipe: Recipe, definition: Definition
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with a rule in front of those of a shipped option for the linear layers of each
    method beside text: 8 bits per channel, where its backend runs that. And a line for each."""
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
            f"quant.rules: {_said(rule)} for the linear layers of {method}, instead of "
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
    """8 bits per channel, with activations as in ``linear`` if the backend runs that; else float32.
    None where the backend is unknown."""
    if backend not in TABLES:
        return None
    wanted, able = SCHEMES[linear.scheme], supported(backend, ModuleKind.linear)
    known = [SCHEMES[name] for name, support in able.items() if support.per_channel]
    fitting = [s for s in known if s.flow is Flow.weights and s.weight_bits == _BITS]
    best = min(fitting, key=lambda s: far(s, wanted), default=SCHEMES["none"])
    return QuantRule(scheme=best.name, kind=ModuleKind.linear)


def _said(rule: QuantRule) -> str:
    if rule.scheme == "none":
        return "float32"
    groups = "per channel" if rule.group_size is None else f"in groups of {rule.group_size}"
    return f"{rule.scheme} {groups}"
