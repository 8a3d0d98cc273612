"""Measure the speed of a task's program."""

from __future__ import annotations

from llm_export.bundle.measures import SPEED
from llm_export.bundle.roles import ROLES
from llm_export.files import write_json
from llm_export.json_data import to_json
from llm_export.memory import release_memory
from llm_export.pipeline.program_artifacts import ProgramMeasured, ProgramVerified
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe


def benchmark(
    artifact: ProgramVerified, resolved: ResolvedRecipe, ctx: RunContext
) -> ProgramMeasured:
    """Run the task's own measurement in this process."""
    settings, obstacle = resolved.recipe.benchmark, resolved.obstacle_to_running()
    if not settings.enabled or obstacle:
        ctx.note(summary=obstacle if settings.enabled else "off in the recipe")
        return not_measured(artifact, resolved, ctx)
    release_memory(always=True)
    measures = resolved.task.load_contract().speed(artifact.packaged.bundle, settings)
    assert all(measure.of == SPEED for measure in measures)
    body = [to_json(measure) for measure in measures]
    write_json(artifact.packaged.bundle / ROLES["speed"], body)
    ctx.note(speed=body, summary=", ".join(f"{m.title} {m.text()}" for m in measures))
    return ProgramMeasured(artifact.packaged, artifact.proof, measures)


def not_measured(
    artifact: ProgramVerified, resolved: ResolvedRecipe, ctx: RunContext
) -> ProgramMeasured:
    """The bundle without a measurement."""
    return ProgramMeasured(artifact.packaged, artifact.proof)
