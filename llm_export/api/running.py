"""Run a recipe whole, up to a stage, one stage at a time, or in many variants."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from llm_export.api.forms import (
    OUTPUTS,
    RecipeLike,
    compose,
    later,
    output_folder,
    source_of,
    source_word,
    words,
)
from llm_export.config.composed import Composed
from llm_export.errors import RecipeError, VerificationError, did_you_mean

if TYPE_CHECKING:
    from llm_export.pipeline.artifacts import Artifact
    from llm_export.pipeline.console import Progress
    from llm_export.pipeline.record import RunRecord
    from llm_export.runner.results import RunResult
    from llm_export.runner.run import Run
    from llm_export.sweep.run import SweepResult


@dataclass(frozen=True, eq=False)
class StageResult:
    """Where ``run(until=STAGE)`` stopped.

    The files that the artifact names lie in a temporary folder. It is removed by ``close``, at
    the end of a ``with`` block, and when nothing refers to the result any more.

    Attributes:
        artifact: what the stage made: Loaded, Prepared, Transformed, ... of
            ``llm_export.pipeline.artifacts``.
        record: what run.json would hold, up to this stage.
    """

    stage: str
    artifact: Artifact
    record: RunRecord
    _run: Run = field(repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, self._run.close)

    def close(self) -> None:
        """Remove the files; what the artifact has in memory stays usable."""
        self._run.close()

    def __enter__(self) -> StageResult:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class DifferentProgramError(VerificationError):
    """A run of a lock made another program; ``result`` is the run all the same."""

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
    """Check, then run every stage that is not in the cache, and publish the bundle.

    Args:
        recipe: also a lock of a bundle, which makes the same program again.
        until: name of a stage to stop after. Nothing is published then, unless it is the last.
        out: folder of the bundle; None is the recipe's.
        quiet: print no progress.
        cache: False neither looks finished stages up nor keeps them.
        limits: whether to stop where memory or disk will not do.
        progress: called with (stage, done, total), in units of the stage's own work: with 0 of 1
            when a stage begins, and with ``done`` equal to ``total`` when it ends.
        allow_different: of a lock: run although what it pins differs here.

    Raises:
        LlmExportError: see ``llm_export.errors`` for the kinds and exit codes.
    """
    from llm_export.sharing.locked import compare_outcome, read_lock, require_same

    lock = None
    if recipe is None or isinstance(recipe, str | Path):
        lock = read_lock(source_word(recipe))
    composed = compose(recipe, overrides, config_dir)
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
    """Run one stage at a time; nothing starts before the first step is taken.

    Iterate over it in a ``with`` block: each ``Step`` has the stage's name and its artifact, which
    is there until the next step is taken. The last step publishes the bundle, which ``.result``
    then names. A run that is left before it, or that ``until`` ends before it, publishes nothing
    and removes its files. Arguments are those of ``run``.

    Raises:
        LlmExportError: the recipe is wrong; taking a step raises as ``run`` does.
    """
    composed = compose(recipe, overrides, config_dir)
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
    """Run every combination of values that the overrides sweep over, as one resumable job.

    Args:
        overrides: as for ``compose``; ``KEY=A,B`` sweeps, ``out=FOLDER`` is the sweep's.
        launcher: where variants run: local (None), joblib, submitit_local, submitit_slurm, ray.

    Raises:
        LlmExportError: the command is wrong, the folder cannot be used, or the launcher is not
            installed. A variant that fails is a row of the result instead.
    """
    from llm_export.config.compose import Composer
    from llm_export.sharing.locked import read_lock
    from llm_export.sweep.run import run_sweep

    said = words(overrides)
    with source_of(recipe, config_dir) as (source, before):
        if read_lock(source) is not None:
            raise RecipeError(
                "a lock is of one program, and -m makes several", where=source,
                fix="sweep recipe.yaml",
            )  # fmt: skip
        composer = Composer(source, config_dir)
        return run_sweep(
            composer, later(before, said), OUTPUTS / "sweeps", launcher, quiet, cache, limits
        )


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
    from llm_export.runner.stages import STAGES

    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        raise RecipeError(
            f"there is no stage '{until}'", where="until", fix=did_you_mean(until, names)
        )
    resolved = require_sound(composed.recipe)
    from llm_export.runner.run import Run

    return Run(
        resolved,
        composed.choices,
        composed.overrides,
        output_folder(composed.recipe) if out is None else Path(out),
        quiet=quiet,
        stages=STAGES if until is None else STAGES[: names.index(until) + 1],
        cache=cache,
        limits=limits,
        progress=progress,
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
