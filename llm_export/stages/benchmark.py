"""Measure the speed of the bundle in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

from llm_export.bundle.write import ROLES
from llm_export.config.schema import filled
from llm_export.errors import LlmExportError
from llm_export.files import write_json
from llm_export.pipeline.artifacts import Benchmarked, Verified
from llm_export.pipeline.child_errors import reason_of
from llm_export.pipeline.record import utc_now
from llm_export.pipeline.speed import Speed
from llm_export.pipeline.stage import RunContext
from llm_export.profile.of_run import profile_steps
from llm_export.resolve.recipe import ResolvedRecipe
from runtime_py.benchmark import DISTURBED


def benchmark(artifact: Verified, resolved: ResolvedRecipe, ctx: RunContext) -> Benchmarked:
    """Run ``runtime_py.benchmark`` in a subprocess, so that this process's memory is not counted.

    Raises:
        LlmExportError: the benchmark failed.
    """
    recipe = resolved.recipe
    packaged, settings = artifact.packaged, recipe.benchmark
    obstacle = resolved.obstacle_to_running()
    if not settings.enabled or obstacle:
        reason = obstacle if settings.enabled else "off in the recipe"
        ctx.note(summary=reason)
        return not_measured(artifact, resolved, ctx)
    command = [
        sys.executable, "-m", "runtime_py.benchmark", str(packaged.bundle), "--json",
        "--prompt-length", str(settings.prompt_length),
        "--decode-length", str(settings.decode_length),
        "--warmup", str(settings.warmup),
        "--repetitions", str(settings.repetitions),
        "--max-seconds", str(settings.max_seconds),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LlmExportError(
            f"the benchmark failed (exit {done.returncode}): {reason_of(done.stderr)}"
        )
    measured = Speed.from_dict(json.loads(done.stdout))
    # The bundle's folder still has its temporary name.
    speed = replace(measured, bundle=None, measured=utc_now())
    write_json(packaged.bundle / ROLES["benchmark"], speed.as_dict())
    decode = speed.decode_tokens_per_second.median
    prefill = speed.prefill_tokens_per_second.median
    mark = ""
    if speed.disturbed:
        ctx.record.once = "which other processes disturbed"
        mark = f", {DISTURBED}: the next run measures again"
    ctx.note(
        **speed.as_dict(), summary=f"prefill {prefill:.0f}, decode {decode:.0f} tokens/s{mark}"
    )
    if settings.profile:
        ctx.note(profile=profile_steps(packaged.bundle, filled(settings.prompt_length)))
    return Benchmarked(packaged, artifact.proof, speed)


def not_measured(artifact: Verified, resolved: ResolvedRecipe, ctx: RunContext) -> Benchmarked:
    """The bundle without a measurement."""
    return Benchmarked(artifact.packaged, artifact.proof, None)
