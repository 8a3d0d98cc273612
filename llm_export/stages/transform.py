"""Eager model -> a float model that computes the same, and what its rules choose."""

from __future__ import annotations

from llm_export.config.quant_schema import RotateConfig, TiedKind
from llm_export.config.schema import Recipe
from llm_export.models.contract import ModelFacts
from llm_export.models.definitions import DEFINITIONS
from llm_export.pipeline.artifacts import Loaded, Prepared
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import choose
from llm_export.stages.adapters import keep_apart, pairs_of
from llm_export.stages.calibration import calibration_windows
from llm_export.transforms import fuse_projections
from llm_export.transforms.awq import awq
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.rotate import rotate
from llm_export.transforms.smooth import smooth


def transform(artifact: Loaded, recipe: Recipe, ctx: RunContext) -> Prepared:
    """Fuse projections, keep adapters apart, rotate, scale; each with its post-condition.

    Raises:
        PostConditionError: a transform did not do what it promises.
        RecipeError: a quantization rule does not fit the model.
    """
    model = artifact.model
    done: list[Transform] = []
    changed: dict[str, int] = {}

    def run(step: Transform) -> None:
        changed[step.name] = run_transform(step, model)
        done.append(step)

    known = DEFINITIONS.get(recipe.model.definition).transforms
    adapter = artifact.source.adapter
    # Found by the names that fusing takes away.
    lora = None if adapter is None else keep_apart(recipe, model, pairs_of(adapter))
    if recipe.runtime.fuse_projections and "fuse_projections" in known:
        run(fuse_projections.TRANSFORM)
    if lora is not None:
        run(lora)
    rotation, smoothing, scaling = recipe.quant.rotate, recipe.quant.smooth, recipe.quant.awq
    if rotation is not None:
        run(rotate(rotation.r1, rotation.r2, rotation.seed))
    choices = tuple(choose(model, recipe.quant.rules, recipe.backend.name))
    if smoothing is not None or scaling is not None:
        windows = calibration_windows(recipe.quant.calibration, artifact.source, model)
    if smoothing is not None:
        run(smooth(windows, smoothing.alpha, smoothing.pattern))
    if scaling is not None:
        powers: dict[str, float] = {}
        run(
            awq(
                windows, choices, steps=scaling.steps, pattern=scaling.pattern,
                keep_grids=recipe.quant.rounding.keep_grids,
                with_head=recipe.quant.tied is not TiedKind.share,
                found=powers, progress=ctx.progress,
            )
        )  # fmt: skip
        ctx.note(awq_powers=powers)
    ctx.note(transforms=changed, remark=_remark(changed, rotation, model.facts))
    return Prepared(model, artifact.source, tuple(done), choices)


def _remark(changed: dict[str, int], rotation: RotateConfig | None, facts: ModelFacts) -> str:
    remark = ", ".join(changed) or "nothing to do"
    if rotation is not None and rotation.r1 and facts.tied_embeddings:
        # The last norm's gain is in the output matrix and not in the embedding.
        remark += "; embedding and output matrix differ now and are stored apart"
    return remark
