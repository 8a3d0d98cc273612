"""Fill in the parts of a quantization option that are left out where the model or the rest of the
recipe excludes them: rotations, smoothing, outlier channels, zero points, the rounding method."""

from __future__ import annotations

from dataclasses import replace

from llm_export.config.quant_options import quant_options
from llm_export.config.quant_schema import (
    AUTO,
    AutoConfig,
    ModuleKind,
    QuantConfig,
    QuantRule,
    TiedKind,
)
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.models.definitions.base import Definition
from llm_export.models.task import task_of
from llm_export.quant.nearest_rule import regrouped_rule
from llm_export.quant.schemes import SCHEMES, TABLES, refusal, supported
from llm_export.resolve.head_split import with_parts
from llm_export.resolve.rotations import fill_rotations

ALPHA, OUTLIERS = 0.5, 8
FEW_OUTLIERS = 4
"""Of linears that have outlier channels by the ratio of their inputs."""

Notes = tuple[str, ...]


def fill_options(recipe: Recipe, definition: Definition) -> tuple[Recipe, Notes]:
    """The recipe with a value for each open key of ``quant``, and a line for each part that is left
    out. What the recipe states is kept, also if it does not fit."""
    quant, group_notes = _group_sizes(recipe)
    quant, head_notes = _heads(recipe, quant, definition)
    quant, layer_notes = _outlier_layers(recipe, quant, definition)
    quant, rotation_notes = fill_rotations(recipe, quant, definition)
    recipe = replace(recipe, quant=quant)
    quant, smooth_notes = _smoothing(recipe, definition)
    quant, outlier_notes = _outliers(recipe, quant)
    quant = _zero_points(recipe, quant)
    quant, table_notes = _tables(recipe, quant, definition)
    quant, candidate_notes = _candidates(recipe, quant)
    quant, part_notes = with_parts(replace(recipe, quant=quant), definition)
    quant, rounding_notes = _rounding(recipe, quant, definition)
    notes = (
        *group_notes,
        *head_notes,
        *layer_notes,
        *rotation_notes,
        *smooth_notes,
        *outlier_notes,
        *table_notes,
        *candidate_notes,
        *part_notes,
        *rounding_notes,
    )
    return replace(recipe, quant=quant), notes


def _group_sizes(recipe: Recipe) -> tuple[QuantConfig, Notes]:
    """Group sizes that a shipped option brings are exchanged where the backend has others."""
    quant, backend = recipe.quant, recipe.backend.name
    if tuple(quant.rules) != quant_options().get(quant.name) or backend not in TABLES:
        return quant, ()
    made = [regrouped_rule(backend, rule) for rule in quant.rules]
    notes = tuple(
        f"quant.rules[{i}].group_size: {_word(new)} instead of {_word(old)}, which {backend} runs"
        for i, (old, new) in enumerate(zip(quant.rules, made, strict=True))
        if old != new
    )
    sizes = {rule.group_size for rule in made}
    size = quant.group_size if quant.group_size in sizes else None
    return (replace(quant, rules=made, group_size=size), notes) if notes else (quant, ())


def _heads(recipe: Recipe, quant: QuantConfig, definition: Definition) -> tuple[QuantConfig, Notes]:
    """Without the rules of a shipped option for an output head that the model does not have."""
    shipped = tuple(recipe.quant.rules) == quant_options().get(recipe.quant.name)
    if not shipped or definition.has_head(recipe):
        return quant, ()
    kept = [rule for rule in quant.rules if rule.kind is not ModuleKind.head]
    if len(kept) == len(quant.rules):
        return quant, ()
    return replace(quant, rules=kept), ("quant.rules: none for an output head, which the model "
                                        "does not have",)  # fmt: skip


def _outlier_layers(
    recipe: Recipe, quant: QuantConfig, definition: Definition
) -> tuple[QuantConfig, Notes]:
    """With outlier channels for layers whose inputs a shipped option would round too coarsely."""
    pattern = definition.outlier_layers(recipe)
    shipped = tuple(recipe.quant.rules) == quant_options().get(recipe.quant.name)
    linear = [r for r in quant.rules if r.kind is ModuleKind.linear and _dynamic(r)]
    if pattern is None or not shipped or not linear:
        return quant, ()
    made = [replace(rule, pattern=pattern, outliers=OUTLIERS) for rule in linear]
    note = f"quant.rules: {OUTLIERS} outlier channels for {pattern}"
    return replace(quant, rules=[*made, *quant.rules]), (note,)


def _word(rule: QuantRule) -> str:
    return "null" if rule.group_size is None else str(rule.group_size)


def _smoothing(recipe: Recipe, definition: Definition) -> tuple[QuantConfig, Notes]:
    quant = recipe.quant
    if quant.smooth is None or quant.smooth.alpha is not None:
        return quant, ()
    why = _no_smoothing(recipe, definition)
    if why is None:
        return replace(quant, smooth=replace(quant.smooth, alpha=ALPHA)), ()
    return replace(quant, smooth=None), (f"quant.smooth: off, {why}",)


def _no_smoothing(recipe: Recipe, definition: Definition) -> str | None:
    if "smooth" not in definition.transforms:
        tier = definition.tier.format(family=recipe.model.family)
        return f"the {tier} tier has no norms to fold its scales into"
    if (refusal := definition.smoothing_refusal(recipe)) is not None:
        return refusal
    if recipe.quant.awq is not None:
        return "AWQ chooses the scale of each channel"
    if recipe.checkpoint.adapter_mode is AdapterMode.separate:
        return "it would rescale what the separate adapter reads and writes"
    return None


def _outliers(recipe: Recipe, quant: QuantConfig) -> tuple[QuantConfig, Notes]:
    candidates = quant.auto.candidates if quant.auto else []
    why = no_outliers(recipe)
    asked = [r for r in (*quant.rules, *candidates) if r.outliers is None and _dynamic(r)]
    usual = max(map(_usual, asked), default=OUTLIERS)
    auto = quant.auto and replace(quant.auto, candidates=_filled(candidates, able=not why))
    filled = replace(
        quant,
        rules=_filled(quant.rules, able=not why),
        auto=auto,
        outliers=(0 if why else usual) if quant.outliers is None else quant.outliers,
    )
    note = f"quant.outliers: 0 instead of {usual}, {why}"
    return filled, ((note,) if why and asked else ())


def _zero_points(recipe: Recipe, quant: QuantConfig) -> QuantConfig:
    auto = quant.auto and replace(
        quant.auto, candidates=[_shifted(recipe, rule) for rule in quant.auto.candidates]
    )
    return replace(quant, rules=[_shifted(recipe, rule) for rule in quant.rules], auto=auto)


def _shifted(recipe: Recipe, rule: QuantRule) -> QuantRule:
    """With zero points where the rule leaves them open and the backend's kernel has its own."""
    if rule.zero_point is not None:
        return rule
    kinds = [rule.kind] if rule.kind else list(ModuleKind)
    known = recipe.backend.name in TABLES and rule.group_size is not None
    able = known and all(
        (found := supported(recipe.backend.name, kind).get(rule.scheme)) and found.zero_points
        for kind in kinds
    )
    beside = recipe.checkpoint.adapter_mode is AdapterMode.separate
    qat = recipe.quant.qat
    excluded = recipe.train.enabled or beside or (qat.enabled and qat.is_symmetric)
    return replace(rule, zero_point=able and not excluded)


def _tables(
    recipe: Recipe, quant: QuantConfig, definition: Definition
) -> tuple[QuantConfig, Notes]:
    """A tied table takes the rule that a shipped option has for the output head, where delegates
    then store both once. A checkpoint that was trained for the option's rules keeps them."""
    shipped = _is_option(recipe.quant)
    heads = [rule for rule in quant.rules if rule.kind is ModuleKind.head]
    apart = quant.tied is TiedKind.untied
    if not shipped or apart or quant.qat.enabled or not heads or not definition.tied(recipe):
        return quant, ()
    made = [_like(recipe.backend.name, rule, heads[0]) for rule in quant.rules]
    notes = tuple(
        f"quant.rules[{i}].scheme: {new.scheme} instead of {old.scheme}, so that the output matrix "
        "and the table are stored once"
        for i, (old, new) in enumerate(zip(quant.rules, made, strict=True))
        if old.scheme != new.scheme
    )
    return replace(quant, rules=made), notes


def _is_option(quant: QuantConfig) -> bool:
    """Whether the rules are a shipped option's, also with the group size that the recipe states."""
    shipped = quant_options().get(quant.name, ())
    return len(shipped) == len(quant.rules) and all(
        rule in (own, replace(own, group_size=quant.group_size))
        for rule, own in zip(quant.rules, shipped, strict=True)
    )


def _like(backend: str, rule: QuantRule, head: QuantRule) -> QuantRule:
    if rule.kind is not ModuleKind.embedding or backend not in TABLES:
        return rule
    made = replace(head, kind=ModuleKind.embedding)
    found = supported(backend, ModuleKind.embedding).get(made.scheme)
    fits = found is not None and found.with_head
    return made if fits and refusal(backend, ModuleKind.embedding, made) is None else rule


def _rounding(
    recipe: Recipe, quant: QuantConfig, definition: Definition
) -> tuple[QuantConfig, Notes]:
    if quant.rounding.method != AUTO:
        return quant, ()
    method, why = _best_rounding(recipe, definition)
    notes = (f"quant.rounding.method: {method}, {why}",) if why else ()
    return replace(quant, rounding=replace(quant.rounding, method=method)), notes


def _best_rounding(recipe: Recipe, definition: Definition) -> tuple[str, str]:
    """The method, and why it is not GPTQ if it is another."""
    if recipe.checkpoint.is_random:
        return "minmax", "random weights gain nothing from another"
    if recipe.train.enabled or recipe.quant.qat.enabled:
        return "minmax", "as training rounds"
    if not task_of(recipe.model).reads_text:
        return "mse", "no text calibrates models of this task"
    if "smooth" not in definition.transforms:
        return "mse", "GPTQ would run the whole model for each of its layers"
    if definition.further_methods:
        return "mse", "no text reaches what encodes images, which GPTQ would leave to minmax"
    return "gptq", ""


def _filled(rules: list[QuantRule], *, able: bool) -> list[QuantRule]:
    return [
        replace(rule, outliers=_usual(rule) if able else 0) if rule.outliers is None else rule
        for rule in rules
    ]


def _usual(rule: QuantRule) -> int:
    if not _dynamic(rule):
        return 0
    return OUTLIERS if rule.outlier_ratio == 1 else FEW_OUTLIERS


def _dynamic(rule: QuantRule) -> bool:
    scheme = SCHEMES.get(rule.scheme)
    return scheme is not None and scheme.dynamic_activations


def no_outliers(recipe: Recipe) -> str | None:
    """Why no matrix of the program can have outlier channels; None if some can."""
    task = task_of(recipe.model)
    if not task.reads_text:
        return f"calibration text cannot be run through models of the task {task.name}"
    if recipe.checkpoint.adapter_mode is AdapterMode.separate:
        return "a matrix with a separate adapter beside it can have none"
    if recipe.train.enabled:
        return "what is beside the quantized product is not trained"
    if recipe.quant.qat.enabled:
        return "training has quantized all channels"
    return None


def _candidates(recipe: Recipe, quant: QuantConfig) -> tuple[QuantConfig, Notes]:
    """Candidates are a choice: those that cannot be are left out."""
    if quant.auto is None or recipe.checkpoint.adapter_mode is not AdapterMode.separate:
        return quant, ()
    fitting = [r for r in quant.auto.candidates if not r.outliers and not r.zero_point]
    if not fitting or len(fitting) == len(quant.auto.candidates):
        return quant, ()
    note = "without outliers and zero points, which a separate adapter excludes"
    auto: AutoConfig = replace(quant.auto, candidates=fitting)
    return replace(quant, auto=auto), (f"quant.auto.candidates: {len(fitting)}, {note}",)
