"""Try what the study suggests, until the budget is spent or everything was tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_export.config.compose import Composer
from llm_export.config.composed import Composed, Variant
from llm_export.config.recipe_files import resolved
from llm_export.config.schema import Recipe
from llm_export.config.search_space import Parameter, search_space
from llm_export.errors import MissingDependencyError, RecipeError
from llm_export.resolve.auto_model import default_name
from llm_export.sweep.board import Board
from llm_export.sweep.job import Jobs
from llm_export.sweep.launchers import LOCAL
from llm_export.sweep.measure import Measure
from llm_export.sweep.plan import IN_NAME, Plan, Planned, fit_name, planned, sweep_name
from llm_export.sweep.state import DONE, FAILED, REFUSED, Row, SweepCommand, SweepFolder
from llm_export.tune.budget import Budget
from llm_export.tune.front import Front, written
from llm_export.tune.measures import Requirement, require_measurable
from llm_export.tune.study import Asked, Study, require_optuna, spent
from llm_export.versions import package_versions

_REFUSED_IN_A_ROW = 30
"""Suggestions that the checks refuse, one after the other, after which a search ends."""
_ENVIRONMENT = MissingDependencyError.exit_code


def tune(
    composer: Composer,
    overrides: Sequence[str],
    outputs: Path,
    objectives: Sequence[Measure],
    requirements: Sequence[Requirement],
    budget: Budget,
    *,
    seed: int = 0,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
) -> Front:
    """Search the space that ``overrides`` span; the same command resumes an interrupted search.

    Args:
        outputs: folder for tunes that do not say out=FOLDER.

    Raises:
        RecipeError: the command is wrong, the folder holds a tune of another one, or the checks
            refuse everything.
        InputError: the folder cannot be used.
        MissingDependencyError: Optuna is not installed, or every run lacks something else.
    """
    require_optuna()
    parameters, fixed = search_space(composer, overrides)
    keys = [p.key.lstrip("+") for p in parameters]
    for name in ("out", "name"):
        if name in keys:
            raise RecipeError(f"'{name}' names what a tune writes, and cannot be searched over",
                              where=name, fix="out=FOLDER")  # fmt: skip
    base = composer.compose([*fixed, *(f"{p.key}={p.first}" for p in parameters)])
    enabled = _enabled(base.recipe, keys)
    require_measurable([*objectives, *(r.measure for r in requirements)], enabled)
    place = base.recipe.out or str(outputs / sweep_name(base.recipe, sorted(keys)))
    folder = SweepFolder(Path(place))
    try:
        signature = _signature(parameters, objectives, requirements, base, keys)
        study = Study(folder.path, parameters, objectives, requirements, signature, seed)
        command = SweepCommand(composer.source, tuple(overrides), LOCAL)
        board = Board(Plan(folder.path, []), folder, command, False, quiet, budget.runs)
        for row in study.rows():
            board.add(Planned(row, None))
        search = _Search(composer, parameters, fixed, folder, board, study, quiet, cache, limits)
        try:
            ended = search.run(budget)
        except BaseException:
            board.interrupt()
            raise
        board.end()
        return written(folder.path, study.rows(), study.front(), objectives, requirements, ended,
                       search.recipe_of)  # fmt: skip
    finally:
        folder.release()


class _Search:
    def __init__(
        self,
        composer: Composer,
        parameters: Sequence[Parameter],
        fixed: Sequence[str],
        folder: SweepFolder,
        board: Board,
        study: Study,
        quiet: bool,
        cache: bool,
        limits: bool,
    ) -> None:
        self._composer, self._parameters, self._fixed = composer, parameters, fixed
        self._folder, self._board, self._study = folder, board, study
        self._settings = {"quiet": quiet, "cache": cache, "limits": limits}

    def run(self, budget: Budget) -> str:
        """Why it ended.

        Raises:
            RecipeError: the checks refuse one suggestion after the other.
            MissingDependencyError: a run lacks what the others will lack too.
        """
        refused = 0
        while True:
            why = budget.spent(*spent(self._board.rows))
            if why:
                return why
            asked = self._study.ask()
            if asked is None:
                return "every combination was tried"
            row = self._try(asked)
            refused = refused + 1 if row.state == REFUSED else 0
            if refused == _REFUSED_IN_A_ROW and row.error is not None:
                raise RecipeError(
                    f"the checks refused the last {refused} suggestions, at last: {row.error.line}",
                    where="tune", fix="a space with fewer values that do not go together",
                )  # fmt: skip

    def _try(self, asked: Asked) -> Row:
        words = [f"{p.key}={v}" for p, v in zip(self._parameters, asked.words, strict=True)]
        variant = self._composer.variant([*self._fixed, *words], [p.key for p in self._parameters])
        one = planned(variant, self._name(variant, words), self._folder.path)
        number = self._board.add(one)
        if one.composed is not None and one.row.state != DONE:
            jobs = Jobs((one.composed,), self._folder.jobs, Path.cwd(), apart=False,
                        config_dir=self._composer.config_dir, **self._settings)  # fmt: skip
            began = time.monotonic()
            self._board.announced(lambda _: jobs(0))(number)
            if one.row.seconds is None:
                one.row.seconds = round(time.monotonic() - began, 1)
        row = one.row
        if row.state == FAILED and row.error is not None and row.error.exit_code == _ENVIRONMENT:
            # The trial stays open, so that the same command tries it again.
            raise MissingDependencyError(row.error.line, where=row.name, fix="see above")
        self._study.tell(asked, row)
        return row

    def _name(self, variant: Variant, words: Sequence[str]) -> str:
        """With the values that the recipe's name does not show."""
        if variant.composed is None:
            return fit_name(",".join(words))
        recipe = variant.composed.recipe
        shown = IN_NAME if recipe.name == default_name(recipe) else ()
        tail = ",".join(f"{k}={fit_name(v)}" for k, v in variant.swept.items() if k not in shown)
        return f"{recipe.name}+{tail}" if tail else recipe.name

    def recipe_of(self, row: Row) -> Recipe:
        """The recipe of a row, to be written to a file."""
        composed: Composed = self._composer.compose(row.overrides)
        return replace(composed.recipe, name=row.name, out=None)


def _enabled(recipe: Recipe, keys: Sequence[str]) -> dict[str, bool]:
    """Part -> whether it runs; what is searched over may be on in any trial."""
    found = {"verify": recipe.verify.enabled, "benchmark": recipe.benchmark.enabled,
             "evaluate": recipe.evaluate.enabled}  # fmt: skip
    return {part: on or any(k in (part, f"{part}.enabled") for k in keys)
            for part, on in found.items()}  # fmt: skip


def _signature(
    parameters: Sequence[Parameter],
    objectives: Sequence[Measure],
    requirements: Sequence[Requirement],
    base: Composed,
    keys: Sequence[str],
) -> dict[str, Any]:
    """What results depend on. The values that are searched over are in the space, not in it."""
    body = resolved(base.recipe)
    body.pop("name")
    for key in keys:
        *parents, leaf = key.split(".")
        node: Any = body
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(leaf, None)
    return {
        "space": {p.key: p.as_dict() for p in parameters},
        "objective": [m.name + (":max" if m.maximize else ":min") for m in objectives],
        "require": [r.text for r in requirements],
        "recipe": body,
        "versions": package_versions(),
    }
