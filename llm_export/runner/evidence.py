"""Run a stage. One that only adds evidence cannot take a proven bundle away."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from llm_export.errors import first_line
from llm_export.pipeline.stage import RunContext, Stage
from llm_export.resolve.recipe import ResolvedRecipe


def run_stage(
    stage: Stage,
    function: Callable[..., Any],
    artifact: Any,
    resolved: ResolvedRecipe,
    context: RunContext,
) -> Any:
    """The stage's artifact, or that of its fallback if it fails; then its record has the error.

    Raises:
        Exception: what the stage raised, if it has no fallback, or what the caller's progress
            callback raised: the caller ends the run.
    """
    record = context.record
    try:
        made = function(artifact, resolved, context)
    except Exception as error:
        if not stage.fallback or error is context.reporter.raised:
            raise
        traceback.print_exc()  # to the log
        record.state, record.error = "failed", first_line(error)
        context.note(summary=f"failed: {record.error}; the bundle is kept without it")
        return stage.load_fallback()(artifact, resolved, context)
    record.state = "done"
    return made
