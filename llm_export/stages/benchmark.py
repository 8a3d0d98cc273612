"""Measure the speed of the bundle in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

from llm_export.bundle.roles import ROLES
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.config.several import several
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
        *_arguments(settings),
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
    encoding = speed.image_encoding_seconds
    sees = "" if encoding is None else f", {1e3 * encoding.median:.3g} ms to encode an image"
    ctx.note(
        **speed.brief().as_dict(),
        summary=f"prefill {prefill:.0f}, decode {decode:.0f} tokens/s{sees}{mark}",
    )
    if settings.profile:
        longest = max(several(settings.prompt_length))
        ctx.note(profile=profile_steps(packaged.bundle, longest))
    return Benchmarked(packaged, artifact.proof, speed)


def _arguments(settings: BenchmarkConfig) -> list[str]:
    """Words of the command line; what is null keeps its default."""
    given = {
        key: ",".join(map(str, several(getattr(settings, key))))
        for key in ("prompt_length", "decode_length", "depth", "threads", "warmup")
    }
    given |= {"repetitions": str(settings.repetitions), "max_seconds": str(settings.max_seconds)}
    if settings.sustained_seconds:
        given["sustained"] = str(settings.sustained_seconds)
    return [
        word for key, text in given.items() if text for word in (f"--{key.replace('_', '-')}", text)
    ]


def not_measured(artifact: Verified, resolved: ResolvedRecipe, ctx: RunContext) -> Benchmarked:
    """The bundle without a measurement."""
    return Benchmarked(artifact.packaged, artifact.proof, None)
