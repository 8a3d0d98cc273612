"""Run a recipe completely, up to a stage, one stage at a time, or as a sweep."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from llm_export.api.forms import (
    OUTPUTS,
    RecipeLike,
    as_written,
    later,
    output_folder,
    resolve,
    source_of,
    source_word,
    words,
)
from llm_export.config.composed import Composed
from llm_export.errors import RecipeError, VerificationError, did_you_mean
from llm_export.output.claim import require_claimable

if TYPE_CHECKING:
    from llm_export.pipeline.artifacts import Artifact
    from llm_export.pipeline.console import Progress
    from llm_export.pipeline.record import RunRecord
    from llm_export.runner.results import RunResult
    from llm_export.runner.run import Run
    from llm_export.sweep.run import SweepResult


@dataclass(frozen=True, eq=False)
class StageResult:
    """The result of ``run(until=STAGE)``.

    The artifact's files are in a temporary folder. It is removed by ``close``, at the end of a
    ``with`` block, and when the result is garbage-collected.

    Attributes:
        artifact: output of the stage: Loaded, Prepared, Transformed, ... of
            ``llm_export.pipeline.artifacts``.
        record: the run record (run.json) up to this stage.
    """

    stage: str
    artifact: Artifact
    record: RunRecord
    _run: Run = field(repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, self._run.close)

    def close(self) -> None:
        """Remove the files; the parts of the artifact that are in memory stay usable."""
        self._run.close()

    def __enter__(self) -> StageResult:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class DifferentProgramError(VerificationError):
    """Running a lock produced a different program; ``result`` is the result of the run."""

    def __init__(self, error: VerificationError, result: RunResult) -> None:
        super().__init__(error.what, where=error.where, fix=error.fix)
        self.result = result


@overload
def run(
    recipe: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    until: None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
    progress: Progress | None = None,
    allow_different: bool = False,
) -> RunResult: ...


@overload
def run(
    recipe: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    until: str,
    out: str | Path | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
    progress: Progress | None = None,
    allow_different: bool = False,
) -> StageResult: ...


def run(
    recipe: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    until: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
    progress: Progress | None = None,
    allow_different: bool = False,
) -> RunResult | StageResult:
    """Check the recipe, run every stage that is not cached, and publish the bundle.

    Args:
        recipe: a recipe argument (see ``llm_export.api``), or a bundle's lock, which reproduces
            the same program.
        until: name of a stage to stop after. No bundle is published, unless it is the last stage.
        out: output folder of the bundle; None is the recipe's.
        quiet: print no progress.
        cache: whether to use the stage cache; False neither reads nor writes it.
        limits: whether to stop if memory or disk space will not suffice.
        progress: called with (stage, done, total), in the stage's own units of work: with 0 of 1
            when a stage begins, and with ``done`` equal to ``total`` when it ends.
        allow_different: for a lock: run even if versions, machine or checkpoint differ from it.

    Raises:
        LlmExportError: see ``llm_export.errors`` for the kinds and exit codes.
    """
    from llm_export.sharing.locked import compare_outcome, read_lock, require_same

    lock = None
    if recipe is None or isinstance(recipe, str | Path):
        lock = read_lock(source_word(recipe))
    composed = _composed(recipe, overrides, config_dir, until, out)
    known = (
        [] if lock is None
        else require_same(lock, composed.recipe, words(overrides), allow_different)
    )  # fmt: skip
    begun = _begin(composed, until, out, quiet=quiet, cache=cache, limits=limits, progress=progress)
    if until is not None:
        return _stop_after(begun)
    result = begun.finish()
    if lock is None:
        return result
    reused = "lower" in result.record.reused
    try:
        line = compare_outcome(lock, result.bundle, known, reused, allow_different)
    except VerificationError as error:
        raise DifferentProgramError(error, result) from None
    return replace(result, lock=line)


def steps(
    recipe: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    until: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
    progress: Progress | None = None,
) -> Run:
    """Run one stage at a time. Work starts with the first step.

    Iterate over the result in a ``with`` block: each ``Step`` has the stage's name and its
    artifact, which is available until the next step. The last step publishes the bundle; then
    ``.result`` is set. A run that is closed earlier, or that ``until`` stops earlier, publishes
    nothing and removes its files. Arguments are those of ``run``.

    Raises:
        LlmExportError: the recipe is wrong. Each step raises the errors of ``run``.
    """
    composed = _composed(recipe, overrides, config_dir, until, out)
    return _begin(composed, until, out, quiet=quiet, cache=cache, limits=limits, progress=progress)


def sweep(
    recipe: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    launcher: str | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
) -> SweepResult:
    """Run every combination of the swept values, as one resumable job.

    Args:
        overrides: as for ``compose``; ``KEY=A,B`` sweeps over values, ``out=FOLDER`` sets the
            sweep's folder.
        launcher: where variants run: local (None), joblib, submitit_local, submitit_slurm, ray.

    Raises:
        LlmExportError: an argument is wrong, the folder cannot be used, or the launcher is not
            installed. A failed variant does not raise; it is a row of the result.
    """
    from llm_export.config.compose import Composer
    from llm_export.sharing.locked import refuse_lock
    from llm_export.sweep.run import run_sweep

    said = words(overrides)
    with source_of(recipe, config_dir) as (source, before):
        refuse_lock(source, "sweep")
        composer = Composer(source, config_dir)
        return run_sweep(
            composer, later(before, said), OUTPUTS / "sweeps", launcher, quiet, cache, limits
        )


def _composed(
    recipe: RecipeLike,
    overrides: Sequence[str],
    config_dir: str | None,
    until: str | None,
    out: str | Path | None,
) -> Composed:
    """``compose``, after a look at the output that the user named: model=auto may download."""
    stated = as_written(recipe, overrides, config_dir)
    named = stated.recipe.out if out is None else out
    if named is not None and until is None:
        require_claimable(Path(named))
    return resolve(stated)


def _begin(
    composed: Composed,
    until: str | None,
    out: str | Path | None,
    *,
    quiet: bool,
    cache: bool,
    limits: bool,
    progress: Progress | None,
) -> Run:
    from llm_export.checks.rules import require_sound
    from llm_export.runner.stages import STAGES, stages_of

    _require_stage(until, [stage.name for stage in STAGES])
    resolved = require_sound(composed.recipe)
    stages = stages_of(resolved)
    names = [stage.name for stage in stages]
    _require_stage(until, names)
    from llm_export.runner.run import Run

    return Run(
        resolved,
        composed.choices,
        composed.overrides,
        output_folder(composed.recipe) if out is None else Path(out),
        quiet=quiet,
        stages=stages if until is None else stages[: names.index(until) + 1],
        cache=cache,
        limits=limits,
        progress=progress,
    )


def _require_stage(until: str | None, names: list[str]) -> None:
    if until is not None and until not in names:
        raise RecipeError(
            f"there is no stage '{until}'", where="until", fix=did_you_mean(until, names)
        )


def _stop_after(begun: Run) -> StageResult:
    last, artifact = "", None
    for step in begun:
        last = step.name
        if step.number == step.total:
            artifact = step.artifact
            break
    assert artifact is not None
    assert begun.record is not None
    return StageResult(last, artifact, begun.record, begun)
