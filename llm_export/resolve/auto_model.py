"""Resolve model=auto: fill in the model config from the checkpoint."""

from __future__ import annotations

from dataclasses import replace

from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError, did_you_mean
from llm_export.models.definitions import DEFINITIONS
from llm_export.models.task import GENERATE, MODEL_TASKS, SEE

AUTO = "auto"
DECODERS = (GENERATE, SEE)
"""Tasks whose checkpoints ``detect_model`` understands."""


def resolve_model(recipe: Recipe) -> Recipe:
    """Fill in the model of the recipe's checkpoint; other recipes are returned unchanged.

    Keys that the recipe sets are kept: ``model.name``, ``model.definition`` (which forces a
    tier), and those of ``model.config``.

    Raises:
        RecipeError: there is no checkpoint to read.
        CheckpointError, MissingDependencyError: it cannot be read, or its model is not supported.
    """
    stated, source = recipe.model, recipe.checkpoint
    if stated.family != AUTO:
        return recipe
    if source.path is None and source.hf_id is None and source.package is None:
        raise RecipeError(
            "model=auto reads the checkpoint, and the recipe names none",
            where="checkpoint",
            fix="checkpoint.path=FILE_OR_FOLDER or checkpoint.hf_id=ORG/NAME",
        )
    if stated.task not in (AUTO, *MODEL_TASKS):
        raise RecipeError(
            f"there is no task '{stated.task}'",
            where="model.task",
            fix=did_you_mean(stated.task, (AUTO, *MODEL_TASKS)),
        )
    if stated.definition not in (AUTO, *DEFINITIONS):
        raise RecipeError(
            f"there is no model definition '{stated.definition}'",
            where="model.definition",
            fix=did_you_mean(stated.definition, (AUTO, *DEFINITIONS)),
        )
    from llm_export.models.detect import FAST, GENERIC, detect_model

    # Other definitions get the config values of the fast tier's family.
    tier = stated.definition if stated.definition in (AUTO, FAST, GENERIC) else FAST
    runtime = recipe.runtime
    found = None
    if stated.task == SEE:
        from llm_export.models.vision.detect import detect_vision

        found = detect_vision(source, tier)
    elif stated.task not in DECODERS:
        from llm_export.models.programs.detect import detect_program

        found = detect_program(source, stated.task, tier)
    if found is None:
        found = detect_model(source, runtime.context_length or runtime.default_context, tier)
    model = replace(
        found,
        definition=found.definition if tier == stated.definition else stated.definition,
        name=found.name if stated.name == AUTO else stated.name,
        config={**found.config, **stated.config},
        task=found.task if stated.task == AUTO else stated.task,
        task_options={**found.task_options, **stated.task_options},
    )
    former, name = default_name(recipe), recipe.name
    if name.startswith(former):  # keep the suffix that a sweep appended
        name = default_name(replace(recipe, model=model)) + name.removeprefix(former)
    return replace(recipe, model=model, name=name)


def default_name(recipe: Recipe) -> str:
    """The default name of the bundle: model, backend and quant option."""
    return f"{recipe.model.name}_{recipe.backend.name}_{recipe.quant.name}"
