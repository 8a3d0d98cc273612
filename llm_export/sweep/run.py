"""Run the unfinished variants of a sweep with a launcher, and return one table."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_export.config.compose import Composer
from llm_export.config.composed import Launcher
from llm_export.sweep.board import Board
from llm_export.sweep.job import Jobs
from llm_export.sweep.launchers import LOCAL, chosen_launcher, make_launcher, shares_machine
from llm_export.sweep.plan import make_plan
from llm_export.sweep.state import Row, SweepCommand, SweepFolder


@dataclass(frozen=True)
class SweepResult:
    """The sweep's folder, a row for each variant, and the table as sweep.md has it.

    Attributes:
        screen: the same for a terminal.
        warnings: keys and values that have another name now.
    """

    folder: Path
    rows: list[Row]
    text: str
    screen: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Of the first variant that was refused or failed; 0 if none was."""
        return next((row.error.exit_code for row in self.rows if row.error), 0)


def run_sweep(
    composer: Composer,
    overrides: Sequence[str],
    outputs: Path,
    launcher: str | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
) -> SweepResult:
    """Run every variant that is not finished.

    Raises:
        RecipeError: the command is wrong, or no variant composes.
        InputError: the folder cannot be used.
        MissingDependencyError: the launcher is not installed.
    """
    installed = composer.options("hydra/launcher")
    name, hydra, own = chosen_launcher(launcher, overrides, installed)
    plan = make_plan(composer, own, outputs)
    folder = SweepFolder(plan.folder)
    try:
        command = SweepCommand(composer.source, tuple(overrides), name)
        board = Board(plan, folder, command, shares_machine(name), quiet)
        composed = tuple(variant.composed for variant in plan.variants)
        jobs = Jobs(
            composed, folder.jobs, Path.cwd(), apart=name != LOCAL, quiet=quiet, cache=cache,
            limits=limits, config_dir=composer.config_dir,
        )  # fmt: skip
        task = jobs if jobs.apart else board.announced(jobs)
        launch = make_launcher(name, composer, hydra, folder.jobs, task)
        _run(launch, board, jobs.apart)
    finally:
        folder.release()
    warnings = [line for one in composed if one is not None for line in one.warnings]
    return SweepResult(
        plan.folder, board.rows, board.text(), board.screen(), list(dict.fromkeys(warnings))
    )


def _run(launch: Launcher, board: Board, apart: bool) -> None:
    numbers = board.start()
    try:
        with board.following() if apart else contextlib.nullcontext():
            if numbers:
                launch(numbers)
    except Exception as error:  # a worker died, or the cluster did: variants never raise
        board.end(error)
    except BaseException:
        board.interrupt()
        raise
    else:
        board.end()
