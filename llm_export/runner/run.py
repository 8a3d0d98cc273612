"""Walk the stages. The runner alone measures, records, shows progress and wraps failures."""

from __future__ import annotations

import contextlib
import errno
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.checkpoints.locate import locate
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError, MissingDependencyError, StageError
from llm_export.memory import memory_mapping, release_memory
from llm_export.pipeline.console import Reporter, output_to
from llm_export.pipeline.record import RunRecord, StageRecord, utc_now
from llm_export.pipeline.stage import RunContext, Stage
from llm_export.pipeline.summary import RunSummary
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.runner.cache_session import Reuse
from llm_export.runner.cost_estimate import check_resources, compare
from llm_export.runner.resource_usage import Meter
from llm_export.runner.stages import STAGES, check_chain
from llm_export.runner.workspace import Workspace
from llm_export.stage_cache.lazy_artifact import kind_of
from llm_export.stage_cache.settings import open_cache


@dataclass(frozen=True)
class RunResult:
    """The bundle's folder, its summary and the record that is written to run.json."""

    bundle: Path
    summary: RunSummary
    record: RunRecord


def run_stages(
    resolved: ResolvedRecipe,
    *,
    choices: dict[str, str | None],
    overrides: list[str],
    out: Path,
    quiet: bool = False,
    stages: tuple[Stage, ...] = STAGES,
    cache: bool = True,
    limits: bool = True,
) -> RunResult:
    """Run every stage that is not in the cache, and publish the bundle as ``out``.

    Args:
        cache: whether to look finished stages up, and to keep them.
        limits: whether to stop where memory or disk will not do.

    Raises:
        LlmExportError: user's input, environment, or StageError; no bundle is left then,
            and the record and log of the run stay in a folder that the error names.
    """
    recipe = resolved.recipe
    store = open_cache() if cache else None
    workspace = Workspace(out)
    record = RunRecord(workspace.record_file, recipe, choices, overrides)
    reporter = Reporter(len(stages), quiet)
    try:
        record.write()
        # Before the stages, whose output goes to the log: a download shows its own progress.
        found = locate(recipe.checkpoint)
        with (
            memory_mapping(workspace.path),
            contextlib.closing(
                Reuse(store, stages, resolved, workspace, record, reporter, checkpoint=found,
                      off="the cache is off")
            ) as reuse,
        ):  # fmt: skip
            artifact = _walk(stages, resolved, workspace, record, reporter, reuse, limits)
        record.state = "done"
        _write_record_into(workspace.bundle, record)
        workspace.publish()
    except BaseException as error:
        record.state, record.error = "failed", str(error) or type(error).__name__
        workspace.abandon()
        with contextlib.suppress(OSError):  # a full disk must not hide the first error
            record.write()
        if isinstance(error, OSError):
            raise _os_problem(error, workspace.out) from error
        if isinstance(error, ModuleNotFoundError):
            raise _missing_package(error) from error
        raise
    finally:
        reporter.close()
        workspace.release()
    return RunResult(workspace.out, artifact.summary, record)


def _walk(
    stages: tuple[Stage, ...],
    resolved: ResolvedRecipe,
    workspace: Workspace,
    record: RunRecord,
    reporter: Reporter,
    reuse: Reuse,
    limits: bool,
) -> Any:
    done, artifact = reuse.restore()
    record.write()
    left = stages[done:]
    if not left:
        return artifact
    names = [stage.name for stage in left]
    check_resources(resolved, names, workspace, record, reporter, limits=limits)
    with output_to(workspace.log_file):
        functions = [stage.load() for stage in left]
        from llm_export.pipeline.artifacts import Start

    artifact = artifact if done else Start()
    check_chain(functions, kind_of(artifact))
    for stage, function in zip(left, functions, strict=True):
        entry = StageRecord(stage.name)
        record.stages.append(entry)
        context = RunContext(workspace.bundle, reporter, entry, record)
        meter = Meter()
        try:
            with reporter.stage(stage.name), output_to(workspace.log_file), meter:
                artifact = function(artifact, resolved, context)
            entry.state = "done"
        except Exception as error:
            entry.state = "failed"
            raise _wrapped(error, stage, resolved.recipe, workspace) from error
        finally:
            entry.seconds = round(meter.seconds, 3)
            entry.cpu_seconds = round(meter.cpu_seconds, 3)
            entry.peak_bytes = meter.peak_bytes
            entry.made = utc_now()
        with output_to(workspace.log_file):
            reuse.keep(stage, artifact, entry)
        record.write()
        release_memory(always=True)
        reporter.done(meter.seconds, meter.peak_bytes, str(entry.facts.get("summary", "")))
        compare(record)
    return artifact


def _wrapped(error: Exception, stage: Stage, recipe: Recipe, workspace: Workspace) -> BaseException:
    with contextlib.suppress(OSError), workspace.log_file.open("a", encoding="utf-8") as log:
        log.write(traceback.format_exc())
    if isinstance(error, LlmExportError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return _missing_package(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
        return _os_problem(error, workspace.out)
    return StageError(stage.name, recipe.name, error, str(workspace.log_file))


def _missing_package(error: ModuleNotFoundError) -> MissingDependencyError:
    package = (error.name or "").split(".")[0]
    return MissingDependencyError(
        f"the package '{package}' is not installed", fix=f"pip install {package}"
    )


def _os_problem(error: OSError, out: Path) -> LlmExportError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MissingDependencyError(
            "no space is left on the disk", where=error.filename or str(out),
            fix="free some space or choose another out=FOLDER; nothing half-written is left",
        )  # fmt: skip
    return MissingDependencyError(
        f"a file cannot be used: {error.strerror or error}", where=error.filename or str(out)
    )


def _write_record_into(bundle: Path, record: RunRecord) -> None:
    record.path, former = bundle / "run.json", record.path
    try:
        record.write()
    finally:
        record.path = former
