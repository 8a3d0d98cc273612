"""Quantize the float model to the model that is exported."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from llm_export.config.schema import ExpertsKind
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Prepared, Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.quant.dtype import model_dtype
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.quant.tied import share_table
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.quantization.constant_bytes import predict_bytes
from llm_export.stages.quantization.weights import (
    QuantizedWeights,
    found_outliers,
    quantized_weights,
)
from llm_export.stages.verification.kv_cache_size import cache_note
from llm_export.stages.verification.quality_limits import fidelity
from llm_export.transforms import active_experts
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.cast import casts
from llm_export.transforms.delegate_forms import forms_for


def quantize(artifact: Prepared, resolved: ResolvedRecipe, ctx: RunContext) -> Transformed:
    """Round weights as their schemes require, and set the attention kind.

    Raises:
        PostConditionError: the check of a transform failed.
        RecipeError: quant.tied=share cannot be.
    """
    recipe = resolved.recipe
    model = artifact.model
    able = resolved.capabilities
    # Now that training, if there was any, has left both as they will be.
    shared, tied = share_table(
        model, artifact.choices, recipe.quant.tied, raw_weights=able.raw_weights
    )
    choices = tuple(shared)
    done = list(artifact.transforms)
    changed: dict[str, int] = {}

    def run(step: Transform, part: LanguageModel = model) -> None:
        changed[step.name] = run_transform(step, part)
        done.append(step)

    kind, dtype = resolved.attention, model_dtype(choices)
    static = any(SCHEMES[c.scheme].flow is Flow.pt2e for c in choices)
    # A quantizer would quantize the products in these forms like the model's own.
    text = model.text_model()
    for form in () if static else forms_for(text, able.forms, kind=kind, dtype=dtype):
        run(form, text)
    choices, outliers = found_outliers(replace(artifact, choices=choices), recipe)
    made: QuantizedWeights | None = None
    if any(c.on_grid for c in choices):
        made = quantized_weights(replace(artifact, choices=choices), recipe, ctx, outliers)
        choices = made.choices
    # Which weights keep an earlier quantization is known now; the next step exchanges modules.
    predicted = predict_bytes(model, choices)
    if made is not None:
        ctx.note(trained_values=fidelity(made.training_db))
        run(made.transform())
    recurrent = bool(model.cache_metadata().recurrent)
    if kind != "plain" or recurrent:
        run(exchange(kind, **_cache_limits(kind, resolved, recurrent)))
    asked = recipe.runtime.experts is ExpertsKind.active
    if asked or (resolved.experts is ExpertsKind.active and any(active_experts.mixtures(model))):
        run(active_experts.TRANSFORM)
    for cast in casts(choices):
        run(cast)
    model.init_buffers()  # calibration has filled the cache
    ctx.note(
        transforms=changed,
        quantization=[c.as_dict() for c in choices],
        predicted_bytes=predicted,
        tied_embedding=tied,
        kv_cache=cache_note(model),
        summary=_summary(choices),
    )
    if made is not None and made.finished is not None:
        made.finished.discard()
    return Transformed(model, artifact.source, tuple(done), choices, predicted, artifact.ranges)


def _cache_limits(kind: str, resolved: ResolvedRecipe, recurrent: bool) -> dict[str, int]:
    """The limits that determine the layout of this kind of cache, or the form of mixers."""
    recipe = resolved.recipe
    if kind == "ring" or recurrent:
        return {"step_length": resolved.methods.prefill_length}
    if kind == "attention_sink":
        return {"sink_tokens": recipe.runtime.sink_tokens}
    return {}


def _summary(choices: tuple[LayerQuantSpec, ...]) -> str:
    counts = Counter(c.scheme for c in choices)
    return ", ".join(f"{count} x {scheme}" for scheme, count in sorted(counts.items()))
