"""Leave an output head whole, and its rules one, where it cannot be in two parts."""

from __future__ import annotations

from dataclasses import replace

from llm_export.backends import BACKENDS
from llm_export.config.name_patterns import matches_name
from llm_export.config.quant_schema import ModuleKind, QuantConfig, QuantRule
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.models.definitions.base import Definition
from llm_export.quant.schemes import SCHEMES, Flow


def with_parts(recipe: Recipe, definition: Definition) -> tuple[QuantConfig, tuple[str, ...]]:
    """``quant`` with rules for the parts that there are, and a line if the head stays whole."""
    quant = recipe.quant
    if not quant.head_split:
        made = _whole(quant)
        changed = made.rules != quant.rules
        return made, ((_ONE_RULE,) if changed else ())
    why = whole_because(recipe, definition)
    if why is None:
        if definition.tied(recipe):
            return quant, ()
        return replace(quant, rules=_of_whole(quant.rules, ModuleKind.embedding)), ()
    return _whole(quant), (f"quant.head_split: 0 instead of {quant.head_split}, {why}",)


def whole_because(recipe: Recipe, definition: Definition) -> str | None:
    """Why the output head cannot be in two parts; None if it can."""
    quant, backend = recipe.quant, recipe.backend.name
    rows = definition.head_rows(recipe)
    if not definition.has_head(recipe):
        return "the model has no output matrix"
    if rows is None:
        return "only decoders of the fast tier that read text alone have it in two parts"
    if rows <= quant.head_split:
        return f"the output matrix has {rows} rows"
    if backend in BACKENDS and not BACKENDS.get(backend).capabilities.raw_weights:
        return f"{backend} stores matrices in a form of its own"
    if quant.smooth is not None or quant.awq is not None or quant.rotate is not None:
        return "smoothing, AWQ and rotations scale the output matrix whole"
    if any(
        rule.scheme in SCHEMES and SCHEMES[rule.scheme].flow is Flow.pt2e for rule in quant.rules
    ):
        return "calibrated activations are those of the whole output matrix"
    if quant.auto is not None:
        return "the search measures the output matrix whole"
    if recipe.train.enabled or quant.qat.enabled:
        return "training quantizes the output matrix whole"
    if recipe.checkpoint.adapter_mode is AdapterMode.separate:
        return "a separate adapter may lie beside the output matrix"
    return None


def _whole(quant: QuantConfig) -> QuantConfig:
    rules = _of_whole(quant.rules, ModuleKind.head)
    return replace(quant, head_split=0, rules=_of_whole(rules, ModuleKind.embedding))


def _of_whole(rules: list[QuantRule], kind: ModuleKind) -> list[QuantRule]:
    """One rule instead of those for parts: the first part's."""
    mine = [rule for rule in rules if rule.kind is kind]
    name = _NAMES[kind]
    if len(mine) < 2 or not _is_of_part(mine[0].pattern, name):
        return rules
    return [replace(r, pattern=".*") if r is mine[0] else r for r in rules if r not in mine[1:]]


def _is_of_part(pattern: str, name: str) -> bool:
    return matches_name(pattern, f"{name}.first") and not matches_name(pattern, name)


_ONE_RULE = "quant.rules: those of the first part for the whole matrix, quant.head_split is 0"
_NAMES = {ModuleKind.head: "head", ModuleKind.embedding: "embed"}
