"""Predicted cost of a run, checked before expensive work, and its actual cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from llm_export.free_memory import available_memory
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import PredictedCost, RunCost, RunRecord
from llm_export.predict.available_resources import free_disk, require_room
from llm_export.predict.cost import predict
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.runner.workspace import Workspace


def check_resources(
    resolved: ResolvedRecipe,
    stages: Sequence[str],
    workspace: Workspace,
    record: RunRecord,
    reporter: Reporter,
    *,
    limits: bool,
) -> None:
    """Print the predicted cost of the remaining stages, and stop if resources do not suffice.

    Raises:
        MissingDependencyError: not enough memory or disk space.
    """
    expected = predict(resolved, stages)
    if expected is None:
        return
    record.prediction = PredictedCost(**asdict(expected))
    reporter.line(expected.summary())
    if limits:
        require_room(
            expected, memory=available_memory(), disk=free_disk(workspace.path),
            folder=workspace.path,
        )  # fmt: skip


def compare(record: RunRecord) -> None:
    """Record actual vs predicted cost of the stages that this run executed itself."""
    if record.prediction is None:
        return
    done = [s for s in record.stages if s.state == "done" and not s.reused]
    programs = [s.facts["bytes"] for s in done if s.name == "lower"]
    outcome = RunCost(
        seconds=round(sum(s.cpu_seconds for s in done), 1),
        memory=max((s.peak_bytes for s in done), default=0),
        program=programs[0] if programs else None,
    )
    expected = record.prediction
    pairs = {
        "seconds": (outcome.seconds, expected.seconds),
        "memory": (outcome.memory, expected.memory),
        "program": (outcome.program, expected.program),
    }
    ratios = {name: round(was / of, 2) for name, (was, of) in pairs.items() if was}
    record.prediction = replace(expected, outcome=outcome, ratios=ratios)
