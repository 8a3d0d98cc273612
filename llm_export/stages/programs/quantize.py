"""Quantize the float model of a task, and set its kind of attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from llm_export.config.schema import filled
from llm_export.models.components.attention_cores import KINDS
from llm_export.models.programs.task_model import TaskModel
from llm_export.pipeline.artifacts import Prepared
from llm_export.pipeline.program_artifacts import ProgramLoaded, ProgramQuantized
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.quant.tied import share_table
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.quantization.calibration import calibration_windows
from llm_export.stages.quantization.constant_bytes import predict_bytes
from llm_export.stages.quantization.weights import (
    QuantizedWeights,
    found_outliers,
    quantized_weights,
)
from llm_export.transforms.attention import require_custom_ops
from llm_export.transforms.base import run_transform
from llm_export.transforms.smooth import smooth


def quantize(
    artifact: ProgramLoaded, resolved: ResolvedRecipe, ctx: RunContext
) -> ProgramQuantized:
    """Scale, and round weights as their schemes require.

    Raises:
        PostConditionError: a module is not quantized as its scheme says, or the check of another
            transform failed.
        RecipeError: a quantization rule does not fit the model.
    """
    recipe, model = resolved.recipe, artifact.model
    changed = _transformed(artifact, resolved)
    found = resolve_rules(model, recipe.quant.rules, recipe.backend.name)
    choices, tied = _shared(model, found, resolved)
    before = Prepared(cast(Any, model), artifact.source, (), choices)
    choices, outliers = found_outliers(before, recipe)
    made: QuantizedWeights | None = None
    if any(choice.on_grid for choice in choices):
        made = quantized_weights(replace(before, choices=choices), recipe, ctx, outliers)
        choices = made.choices
    # Which weights keep an earlier quantization is known now; the next step exchanges modules.
    predicted = predict_bytes(model, choices)
    if made is not None:
        run_transform(made.transform(), model)
        if made.finished is not None:
            made.finished.discard()
    # Backends may offer only kinds for caches, which encoders do not have.
    if resolved.attention != "plain" and resolved.attention in resolved.model_attention:
        if KINDS[resolved.attention].operators:
            require_custom_ops()
        model.set_attention(resolved.attention)
    model.init_buffers()
    counts = Counter(choice.scheme for choice in choices)
    ctx.note(
        transforms=changed,
        quantization=[choice.as_dict() for choice in choices],
        predicted_bytes=predicted,
        tied_embedding=tied,
        summary=", ".join(f"{count} x {scheme}" for scheme, count in sorted(counts.items())),
    )
    return ProgramQuantized(model, artifact.source, choices, predicted)


def _shared(
    model: TaskModel, choices: Sequence[LayerQuantSpec], resolved: ResolvedRecipe
) -> tuple[tuple[LayerQuantSpec, ...], str | None]:
    """See ``share_table``. Several tables, as models of the library have, stay as they are."""
    if not model.head_name or len(model.token_tables()) != 1:
        return tuple(choices), None
    shared, told = share_table(
        model, choices, resolved.recipe.quant.tied, raw_weights=resolved.capabilities.raw_weights
    )
    return tuple(shared), told


def _transformed(artifact: ProgramLoaded, resolved: ResolvedRecipe) -> dict[str, int]:
    """Name of a transform that does not change the model's function -> places it changed."""
    recipe, model = resolved.recipe, artifact.model
    asked = recipe.quant.smooth
    if asked is None:
        return {}
    windows = calibration_windows(recipe.quant.calibration, artifact.source, model)
    rules = resolve_rules(model, recipe.quant.rules, resolved.backend_of)
    step = smooth(windows, filled(asked.alpha), asked.pattern, choices=rules, steps=asked.steps)
    return {step.name: run_transform(step, model)}
