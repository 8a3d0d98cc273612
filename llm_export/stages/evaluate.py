"""Evaluate the finished program, and the model at earlier points of the pipeline."""

from __future__ import annotations

from dataclasses import replace

from llm_export.bundle.roles import ROLES
from llm_export.evaluation.results import Evaluation
from llm_export.files import write_json
from llm_export.json_data import to_json
from llm_export.pipeline.artifacts import Benchmarked
from llm_export.pipeline.stage import RunContext
from llm_export.report.evaluation import rows
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.evaluation.layers import openers
from llm_export.stages.evaluation.run import evaluate_layers


def evaluate(artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext) -> Benchmarked:
    """Run the recipe's evaluation tasks, if it enables them.

    Raises:
        LlmExportError: nothing could be evaluated.
    """
    settings = resolved.recipe.evaluate
    if not settings.enabled:
        ctx.note(summary="off")
        return artifact
    packaged = artifact.packaged
    found = evaluate_layers(
        settings,
        packaged.bundle,
        ctx.bundle,
        openers(resolved, packaged.bundle, lambda: packaged.transformed.model),
        ctx.progress,
    )
    write_json(packaged.bundle / ROLES["evaluation"], to_json(found))
    ctx.note(evaluation=to_json(found), summary=_said(found))
    manifest = replace(packaged.manifest, evaluation=found.brief())
    return replace(artifact, packaged=replace(packaged, manifest=manifest), evaluation=found)


def not_evaluated(artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext) -> Benchmarked:
    """The bundle without an evaluation."""
    return artifact


def _said(found: Evaluation) -> str:
    parts = [f"{title} {text}" for title, text in rows(found)]
    parts += [f"not evaluated: {what}" for what in found.missing]
    return "; ".join(parts)
