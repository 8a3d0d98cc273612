"""Choose a scheme for every weight, within the recipe's budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_export.config.quant_schema import AutoConfig, QuantRule, RoundingConfig
from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Source
from llm_export.pipeline.stage import RunContext
from llm_export.quant.auto.budget import Budget, budget_of, spent
from llm_export.quant.auto.compact import rules_of
from llm_export.quant.auto.solve import Item, solve
from llm_export.quant.auto.units import Option, Unit, key_of, units_of, with_offsets_kept
from llm_export.quant.inputs import input_ranges
from llm_export.quant.rounding.weights import known_grid
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.quant.size import matrix_bytes
from llm_export.quant.tied import tied_names
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.quantization.auto.measurements import Losses, Store, digest_of
from llm_export.stages.quantization.auto.reference import Reference, without_cache
from llm_export.stages.quantization.auto.sensitivity import loss_of, measure, wants_ranges
from llm_export.stages.quantization.calibration import calibration_windows
from llm_export.stages.quantization.constant_bytes import predict_bytes


@dataclass(frozen=True)
class Found:
    """The result of the search.

    Attributes:
        losses: unit -> candidate as text -> mean KL, for units with several candidates.
        estimated_kl: sum of the losses of the chosen candidates.
        measured_kl: mean KL of all choices together, on the same text.
    """

    budget: Budget
    units: tuple[Unit, ...]
    losses: Losses
    choices: tuple[LayerQuantSpec, ...]
    rules: tuple[QuantRule, ...]
    estimated_kl: float
    measured_kl: float
    spent: dict[str, float]


def search(
    model: LanguageModel, source: Source, resolved: ResolvedRecipe, ctx: RunContext
) -> Found:
    """Measure the loss of each candidate, and choose.

    Raises:
        RecipeError: the budget is too small; a rule does not fit the model.
        InputError: the calibration text will not do; the cache folder cannot be written.
    """
    recipe = resolved.recipe
    quant, auto, backend = recipe.quant, recipe.quant.auto, resolved.backend.name
    assert auto is not None
    raw = resolved.capabilities.raw_weights
    tied = tied_names(model, quant.tied, raw_weights=True)  # units_of knows what a backend can
    units = units_of(model, quant.rules, auto.candidates, backend, tied, raw_weights=raw)
    units = [with_kept_grids(unit, model, quant.rounding) for unit in units]
    every = tuple(c for unit in units for c in unit.options[0].choices)
    others = predict_bytes(model, every) - matrix_bytes(every)
    budget = budget_of(quant, units, others)
    text = calibration_windows(quant.calibration, source, model)
    windows = _windows(auto, recipe, source, model)
    store = Store(digest_of(model, recipe, [*text, *windows]))
    with without_cache(model):
        ranges = input_ranges(model, wants_ranges(units), text)
        units = [_reached(unit, set(ranges)) for unit in units]
        reference = Reference(model, windows)
        losses = measure(reference, units, quant.rounding, ranges, store, ctx.progress)
        options = pick(units, losses, budget)
        chosen = [choice for option in options for choice in option.choices]
        reference.start_at(None)
        measured = loss_of(reference, chosen, quant.rounding, ranges)
    rules = rules_of(chosen)
    choices = resolve_rules(model, rules, backend)
    _require_same(choices, chosen)
    if not auto.keep_measurements:
        store.remove()
    if store.problem:
        ctx.reporter.line(f"cache: {store.problem}")
    estimate = sum(
        losses[unit.name][option.words]
        for unit, option in zip(units, options, strict=True)
        if unit.name in losses
    )
    return Found(budget, tuple(units), losses, tuple(choices), tuple(rules), estimate, measured,
                 spent(chosen, others))  # fmt: skip


def pick(units: Sequence[Unit], losses: Losses, budget: Budget) -> list[Option]:
    """The options with the least additional loss."""
    items = [
        Item(
            tuple(option.bytes for option in unit.options),
            tuple(losses.get(unit.name, {}).get(option.words, 0.0) for option in unit.options),
        )
        for unit in units
    ]
    answer = solve(items, budget.bytes)
    return [unit.options[index] for unit, index in zip(units, answer, strict=True)]


def _windows(
    auto: AutoConfig, recipe: Recipe, source: Source, model: LanguageModel
) -> list[list[int]]:
    settings = replace(recipe.quant.calibration, tokens=auto.tokens, window=auto.window)
    return calibration_windows(settings, source, model)


def _reached(unit: Unit, names: set[str]) -> Unit:
    """Remove options with separate outliers for modules that no token reached."""
    kept = tuple(
        option
        for option in unit.options
        if all(not c.outliers or c.name in names for c in option.choices)
    )
    return replace(unit, options=kept or unit.options)


def with_kept_grids(unit: Unit, model: LanguageModel, settings: RoundingConfig) -> Unit:
    """``with_offsets_kept``, by the weights' values."""

    def how(choice: LayerQuantSpec) -> str | None:
        weight = model.get_parameter(f"{choice.name}.weight").detach().float()
        found = known_grid(weight, choice, settings)
        return None if found is None else found[1]

    return with_offsets_kept(unit, how)


def _require_same(choices: Sequence[LayerQuantSpec], chosen: Sequence[LayerQuantSpec]) -> None:
    wanted = {c.name: key_of(c) for c in chosen}
    for choice in choices:
        if key_of(choice) != wanted.pop(choice.name):
            raise PostConditionError(
                f"the rules that were written choose {choice.scheme} for '{choice.name}'"
            )
