"""Transform the eager model to an equivalent float model, and resolve the quantization rules."""

from __future__ import annotations

from dataclasses import replace

from llm_export.bundle.adapters import keep_separate, pairs_of
from llm_export.config.quant_schema import TiedKind
from llm_export.config.schema import filled
from llm_export.models.contract import LanguageModel, text_prefix
from llm_export.pipeline.artifacts import Loaded, Prepared
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.quant.tied import tied_names
from llm_export.quant.trained import with_training
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.quantization.auto.report import write_evidence
from llm_export.stages.quantization.auto.search import search
from llm_export.stages.quantization.calibration import calibration_windows
from llm_export.transforms import fuse_projections
from llm_export.transforms.awq import awq
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.plugin_transforms import asked_for
from llm_export.transforms.rotate import rotate
from llm_export.transforms.smooth import smooth
from llm_export.transforms.split_head import share_words, split_head


def transform(artifact: Loaded, resolved: ResolvedRecipe, ctx: RunContext) -> Prepared:
    """Fuse projections, keep adapters separate, rotate, scale, and run the recipe's plugin
    transforms, each with its post-condition.

    Raises:
        PostConditionError: the check of a transform failed.
        RecipeError: a quantization rule does not fit the model.
    """
    recipe = resolved.recipe
    model = artifact.model
    text, prefix = model.text_model(), text_prefix(model)  # what calibration text runs through
    done: list[Transform] = []
    changed: dict[str, int] = {}

    def run(step: Transform, part: LanguageModel = model) -> None:
        changed[step.name] = run_transform(step, part)
        done.append(step)

    known = resolved.definition.transforms
    adapter = artifact.source.adapter
    # Found by names that exist only before fusing.
    lora = None if adapter is None else keep_separate(resolved, model, pairs_of(adapter))
    if recipe.runtime.fuse_projections and "fuse_projections" in known:
        for step in fuse_projections.steps(model):
            run(step)
    if lora is not None:
        run(lora)
    if recipe.quant.rotate is not None:
        asked = recipe.quant.rotate
        tied = recipe.quant.tied is not TiedKind.untied
        run(rotate(bool(asked.r1), asked.r2, asked.seed, r4=asked.r4, tied=tied), text)
    scaled = recipe.quant.smooth is not None or recipe.quant.awq is not None
    rules = resolve_rules(model, recipe.quant.rules, resolved.backend_of) if scaled else []
    raw = resolved.capabilities.raw_weights
    # An output head that is to share the embedding's storage is not changed.
    together = tied_names(model, recipe.quant.tied, rules, raw_weights=raw) is not None
    if recipe.quant.smooth is not None:
        windows = calibration_windows(recipe.quant.calibration, artifact.source, model)
        run(smooth(windows, filled(recipe.quant.smooth.alpha), recipe.quant.smooth.pattern,
                   with_head=not together, choices=[_within(choice, prefix) for choice in rules],
                   steps=recipe.quant.smooth.steps), text)  # fmt: skip
    if recipe.quant.awq is not None:
        windows = calibration_windows(recipe.quant.calibration, artifact.source, model)
        powers: dict[str, float] = {}
        run(
            awq(
                windows, [_within(choice, prefix) for choice in rules],
                steps=recipe.quant.awq.steps, pattern=recipe.quant.awq.pattern,
                keep_grids=recipe.quant.rounding.keep_grids, with_head=not together,
                found=powers, progress=ctx.progress,
            ),
            text,
        )  # fmt: skip
        ctx.note(awq_powers=powers)
    for step in asked_for(recipe):
        run(step)
    if recipe.quant.head_split:
        # After a plugin's transforms, which know the head whole.
        tied = resolved.definition.tied(recipe)
        run(split_head(recipe.quant.head_split, tied=tied), text)
    summary = ", ".join(changed) or "nothing to do"
    if rows := recipe.quant.head_split:
        windows = calibration_windows(recipe.quant.calibration, artifact.source, model)
        summary = f"{summary} ({share_words(rows, windows)})"
    if recipe.quant.auto is None:
        choices = tuple(resolve_rules(model, recipe.quant.rules, resolved.backend_of))
    else:
        found = search(model, artifact.source, resolved, ctx)
        choices, summary = found.choices, f"{summary}; {write_evidence(found, recipe, ctx)}"
    choices = with_training(choices, recipe.quant.qat)
    ctx.note(transforms=changed, summary=summary)
    return Prepared(model, artifact.source, tuple(done), choices)


def _within(choice: LayerQuantSpec, prefix: str) -> LayerQuantSpec:
    """A choice by its name in the text model, if it is there."""
    return replace(choice, name=choice.name.removeprefix(prefix))
