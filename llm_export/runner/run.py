"""Run the stages. Only the runner measures, records, shows progress and converts errors."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from llm_export.checkpoints.cache import cache_note
from llm_export.checkpoints.locate import locate
from llm_export.errors import LlmExportError
from llm_export.memory import memory_mapping, release_grown
from llm_export.pipeline.artifacts import Reported, Start
from llm_export.pipeline.console import Progress, Reporter, output_to
from llm_export.pipeline.record import RunRecord, StageRecord, utc_now
from llm_export.pipeline.stage import RunContext, Stage
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.runner.cache_dtype.settle import with_cache_dtype
from llm_export.runner.cache_session import CacheSession
from llm_export.runner.cost_estimate import check_resources, compare
from llm_export.runner.evidence import run_stage
from llm_export.runner.failures import missing_package, os_failure, stage_failure
from llm_export.runner.resource_usage import ResourceUsage
from llm_export.runner.results import RunResult, Step
from llm_export.runner.stages import STAGES, check_chain
from llm_export.runner.workspace import Workspace
from llm_export.stage_cache.lazy_artifact import kind_of
from llm_export.stage_cache.settings import open_cache


@dataclass(eq=False)
class Run:
    """A run of all stages that are not cached: an iterator of steps, and a context manager.

    The last step publishes the bundle as ``out``. A run that is closed earlier leaves no files.

    Args:
        stages: all of ``STAGES``, or the first ones. Without the last stage nothing is published,
            and the run uses a private folder next to ``out``, which ``close`` removes.
        cache: whether to use the stage cache.
        limits: whether to stop if memory or disk space will not suffice.
        progress: called with (stage, done, total); see ``Reporter``.

    Raises (each step):
        LlmExportError: an error of the input, the environment or a stage. No bundle is left. Of a
            failed stage, the record and log of the run stay in a folder that is printed; of a run
            that was refused or interrupted, nothing stays.
    """

    resolved: ResolvedRecipe
    choices: dict[str, str | None]
    overrides: list[str]
    out: Path
    quiet: bool = False
    stages: tuple[Stage, ...] = STAGES
    cache: bool = True
    limits: bool = True
    progress: Progress | None = None
    record: RunRecord | None = field(default=None, init=False)
    """Content of run.json so far; None before the first step."""
    _result: RunResult | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._steps = self._guarded()

    def __iter__(self) -> Run:
        return self

    def __next__(self) -> Step:
        return next(self._steps)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the run; an already published bundle is kept."""
        self._steps.close()

    @property
    def result(self) -> RunResult:
        """The result of a finished run.

        Raises:
            LlmExportError: the last step was not taken yet.
        """
        if self._result is None:
            raise LlmExportError(
                "the run has no result before its last stage is done", where=str(self.out),
                fix="take every step first, or call finish()",
            )  # fmt: skip
        return self._result

    def finish(self) -> RunResult:
        """Take all remaining steps and return the result."""
        with self:
            for _ in self:
                pass
        return self.result

    @property
    def _publishes(self) -> bool:
        return self.stages[-1].name == STAGES[-1].name

    def _guarded(self) -> Generator[Step, None, None]:
        """Run the stages in a workspace; publish, keep or remove it depending on the outcome."""
        store = open_cache() if self.cache else None
        workspace = Workspace(self.out, private=not self._publishes)
        # The choice of a cache's dtype changes nothing of which stages there are.
        hidden = [stage.name for stage in self.stages if stage.is_skipped(self.resolved.recipe)]
        reporter = Reporter(len(self.stages), self.quiet, self.progress, hidden)
        try:
            self.resolved = with_cache_dtype(self.resolved, reporter.line, keep=store is not None)
        except BaseException:  # interrupted
            workspace.discard()
            workspace.release()
            reporter.close()
            raise
        recipe = self.resolved.recipe
        record = RunRecord(
            workspace.record_file, recipe, self.choices, self.overrides, self.resolved.notes
        )
        self.record = record
        for note in (*self.resolved.notes, cache_note() if store else None):
            if note:
                reporter.line(note)
        try:
            record.write()
            # Download before the stages: their output goes to the log, but a download shows its
            # own progress.
            found = locate(recipe.checkpoint)
            with (
                memory_mapping(workspace.path),
                contextlib.closing(
                    CacheSession(store, self.stages, self.resolved, workspace, record, reporter,
                          checkpoint=found, off="the cache is off")
                ) as session,
            ):  # fmt: skip
                for step in self._walk(workspace, record, reporter, session):
                    if self._publishes and step.number == step.total:
                        reported = step.artifact
                        assert isinstance(reported, Reported)
                        summary = reported.summary
                    else:
                        yield step
                    step.release()
            if not self._publishes:
                workspace.discard()
                return
            record.state = "done"
            _write_record_into(workspace.bundle, record)
            workspace.publish()
        except GeneratorExit:  # closed between two steps
            workspace.discard()
            raise
        except BaseException as error:
            record.state, record.error = "failed", str(error) or type(error).__name__
            failed = any(stage.state == "failed" for stage in record.stages)
            if failed or workspace.finished:
                workspace.abandon(record.write)
                reporter.line(workspace.left)
            else:  # refused or interrupted: the error says it all
                workspace.discard()
            if isinstance(error, OSError):
                raise os_failure(error, workspace.out) from error
            if isinstance(error, ModuleNotFoundError):
                raise missing_package(error) from error
            raise
        finally:
            reporter.close()
            workspace.release()
        self._result = RunResult(workspace.out, summary, record)
        yield replace(step, read=partial(Reported, workspace.out, summary))

    def _walk(
        self, workspace: Workspace, record: RunRecord, reporter: Reporter, session: CacheSession
    ) -> Generator[Step, None, None]:
        resolved, total = self.resolved, len(self.stages)
        done, artifact = session.restore()
        record.write()
        for number, entry in enumerate(record.stages, start=1):
            last = number == done
            read = (
                partial(_same, artifact)
                if last
                else partial(_again, session, entry.name, workspace)
            )
            yield Step(entry.name, number, total, True, entry.seconds, read)
        left = self.stages[done:]
        if not left:
            return
        names = [stage.name for stage in left]
        check_resources(resolved, names, workspace, record, reporter, limits=self.limits)
        with output_to(workspace.log_file):
            functions = [stage.load() for stage in left]
        artifact = artifact if done else Start()
        check_chain(functions, kind_of(artifact))
        for number, (stage, function) in enumerate(
            zip(left, functions, strict=True), start=done + 1
        ):
            entry = StageRecord(stage.name, skipped=stage.is_skipped(resolved.recipe))
            record.stages.append(entry)
            context = RunContext(workspace.bundle, reporter, entry, record)
            meter = ResourceUsage()
            try:
                with reporter.stage(stage.name), output_to(workspace.log_file), meter:
                    artifact = run_stage(stage, function, artifact, resolved, context)
            except Exception as error:
                entry.state = "failed"
                raise stage_failure(
                    error, stage.name, resolved.recipe.name, workspace.out, workspace.log_file
                ) from error
            finally:
                entry.seconds = round(meter.seconds, 3)
                entry.cpu_seconds = round(meter.cpu_seconds, 3)
                entry.peak_bytes = meter.peak_bytes
                entry.made = utc_now()
            with output_to(workspace.log_file):
                session.keep(stage, artifact, entry)
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # somebody's doing
                record.write()
            release_grown()
            reporter.done(meter.seconds, meter.peak_bytes, str(entry.facts.get("summary", "")))
            compare(record)
            yield Step(stage.name, number, total, False, entry.seconds, partial(_same, artifact))


def _same(artifact: Any) -> Any:
    return artifact


def _again(session: CacheSession, name: str, workspace: Workspace) -> Any:
    """The artifact of a stage before the last reused one: from the cache, or recomputed."""
    with output_to(workspace.log_file):
        return session.artifact(name)


def _write_record_into(bundle: Path, record: RunRecord) -> None:
    record.path, former = bundle / "run.json", record.path
    try:
        record.write()
    finally:
        record.path = former
