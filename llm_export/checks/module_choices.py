"""What a run would refuse of the schemes that the rules choose for the model's matrices: found from
their shapes, before any weight is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from llm_export.config.name_patterns import matches_name
from llm_export.config.quant_schema import ModuleKind, TiedKind
from llm_export.config.schema import Recipe
from llm_export.errors import Problem, RecipeError
from llm_export.predict.known_grids import on_known_grid
from llm_export.predict.shapes import ModelShapes
from llm_export.predict.size import float_bytes, matrix_choices, tied_pairs
from llm_export.quant.auto.budget import budget_of
from llm_export.quant.auto.units import units_from, with_offsets_kept
from llm_export.quant.dtype import cast_scheme
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.quant.tied import not_tied, parted, require_shareable
from llm_export.quant.trained import with_training
from llm_export.resolve.recipe import ResolvedRecipe

Choices = Sequence[LayerQuantSpec]
_ANY = ".*"


def choice_problems(resolved: ResolvedRecipe, model: ModelShapes) -> list[Problem]:
    """Of rules that are sound, and fit the matrices."""
    recipe, choices = resolved.recipe, matrix_choices(model, resolved)
    found = [*_scaled(recipe, choices)]
    if resolved.task.decodes:
        found += _raised(lambda: cast_scheme(choices) if recipe.quant.auto is None else None)
        found += _raised(lambda: _require_trained(recipe, choices))
        found += _raised(lambda: _require_shared(resolved, model, choices))
        found += _raised(lambda: _require_budget(resolved, model, choices))
        found += _untrained(resolved, model, choices)
    return found


def _raised(require: Callable[[], object]) -> list[Problem]:
    try:
        require()
    except RecipeError as error:
        return [Problem(error.what, error.where or "quant", error.fix or "another value")]
    return []


def _require_trained(recipe: Recipe, choices: Choices) -> None:
    if recipe.quant.auto is None and any(choice.on_grid for choice in choices):
        with_training(choices, recipe.quant.qat)


def _require_shared(resolved: ResolvedRecipe, model: ModelShapes, choices: Choices) -> None:
    quant = resolved.recipe.quant
    if quant.tied is not TiedKind.share:
        return
    if not model.tied:
        whole = replace(resolved.recipe, quant=replace(quant, rotate=None))
        raise parted() if resolved.definition.tied(whole) else not_tied()
    for table, head in tied_pairs(choices) if quant.auto is None else []:
        require_shareable(table, head, raw_weights=resolved.capabilities.raw_weights)


def _require_budget(resolved: ResolvedRecipe, model: ModelShapes, choices: Choices) -> None:
    """A budget of bytes is compared with the predicted bytes of norms and tables beside it, and
    weights whose offsets are kept are known by the checkpoint's name."""
    quant = resolved.recipe.quant
    stated = [value for value in (quant.bits_per_weight, quant.file_megabytes) if value is not None]
    if quant.auto is None or len(stated) != 1:
        return
    pairs = tied_pairs(choices) if model.tied and quant.tied is not TiedKind.untied else []
    pair = next(((table.name, head.name) for table, head in pairs), None)
    raw, backend = resolved.capabilities.raw_weights, resolved.backend.name
    kept = on_known_grid(resolved.recipe)
    units = [
        with_offsets_kept(unit, lambda choice: "kept" if kept(choice) else None)
        for unit in units_from(choices, quant.auto.candidates, backend, pair, raw_weights=raw)
    ]
    budget_of(quant, units, float_bytes(choices) * (model.other + model.tables))


def _scaled(recipe: Recipe, choices: Choices) -> Iterator[Problem]:
    """Patterns of scaling that match no matrix at all."""
    quant = recipe.quant
    groups = {"quant.smooth": quant.smooth, "quant.awq": quant.awq}
    names = [c.name for c in choices if c.kind is not ModuleKind.embedding]
    prefix = next((c.name.removesuffix("head") for c in choices if c.kind is ModuleKind.head), "")
    names = [name.removeprefix(prefix) for name in names]
    for key, group in groups.items():
        if group is None or any(matches_name(group.pattern, name) for name in names):
            continue
        yield Problem(
            f"the pattern {group.pattern} matches no linear",
            f"{key}.pattern",
            f"{key}.pattern='{_ANY}', or one of names such as {names[0]}" if names
            else f"{key}=null: the model has none",
        )  # fmt: skip


def _untrained(resolved: ResolvedRecipe, model: ModelShapes, choices: Choices) -> Iterator[Problem]:
    """Training that has no weight to change, or would part a tied one."""
    recipe = resolved.recipe
    train, lora = recipe.train, recipe.train.lora
    if not train.enabled:
        return
    names = _ANY if lora is None else lora.targets
    mine = [c for c in choices if c.kind in train.kinds and matches_name(names, c.name)]
    kinds = ", ".join(kind.value for kind in train.kinds)
    if not mine:
        yield Problem(
            f"there is nothing to train: no module of kinds {kinds}"
            + (f" matches '{names}'" if lora else ""),
            "train.lora.targets" if lora else "train.kinds",
            "other kinds, or another pattern",
        )
    tied = [c for c in mine if c.kind in (ModuleKind.embedding, ModuleKind.head)]
    if lora is not None and tied and model.tied and not _parted(recipe):
        yield Problem(
            f"the weight of '{tied[0].name}' is that of embedding and output matrix: factors of "
            "one of them would part the two",
            "train.kinds",
            "train.kinds=[linear], or train the weights themselves (train=qat)",
        )


def _parted(recipe: Recipe) -> bool:
    """Whether a transform may have given the output matrix values of its own before training."""
    quant = recipe.quant
    rotated = quant.rotate is not None and bool(quant.rotate.r1) and quant.tied is TiedKind.untied
    return rotated or quant.smooth is not None or quant.awq is not None
