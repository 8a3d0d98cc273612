"""The study: what was tried, in a database in the tune's folder, and what to try next.

Optuna itself, not hydra-optuna-sweeper: that plugin (1.3.0) needs Optuna below 3, which has neither
constraints of multi-objective studies nor works with the SQLAlchemy that it installs today.
"""

from __future__ import annotations

import logging
import math
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.config.search_space import Parameter
from llm_export.errors import InputError, MissingDependencyError, RecipeError
from llm_export.json_data import from_json, to_json
from llm_export.sweep.measure import Measure
from llm_export.sweep.state import DONE, FAILED, REFUSED, Failure, Results, Row
from llm_export.tune.measures import Requirement

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial, Trial

FILE = "study.db"
_NAME, _SIGNATURE, _ROW = "tune", "signature", "row"
_RAN = "ends with a result"
_MOST = 10_000
"""Combinations that are held in memory; of more, those that were tried are not looked for."""
_AGAIN = 20
"""Draws, of a space that is not finite, after which one that was tried is drawn no more."""

Words = tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What to try next: values as overrides have them, in the order of the parameters."""

    trial: Trial
    words: Words


class Study:
    """A study with its history.

    Args:
        signature: what of the command a study depends on, by name; it must not change.

    Raises:
        RecipeError: the folder's study is of another signature; the message says what differs.
        InputError: the database cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Sequence[Parameter],
        objectives: Sequence[Measure],
        requirements: Sequence[Requirement],
        signature: dict[str, Any],
        seed: int = 0,
    ) -> None:
        self._parameters, self._objectives = parameters, objectives
        self._requirements, self._seed = requirements, seed
        self._study = self._open(folder / FILE)
        known = self._study.user_attrs.get(_SIGNATURE)
        if known is None:
            self._study.set_user_attr(_SIGNATURE, signature)
        elif changed := differing(known, signature):
            raise RecipeError(
                "the folder holds a tune of another command:\n" + "\n".join(changed),
                where=str(folder), fix="the same command resumes it; or another out=FOLDER",
            )  # fmt: skip
        self._resume()

    def _open(self, file: Path) -> OptunaStudy:
        import optuna
        from sqlalchemy.engine import URL
        from sqlalchemy.exc import SQLAlchemyError

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        address = URL.create("sqlite", database=str(file)).render_as_string()
        try:
            return optuna.create_study(
                study_name=_NAME,
                storage=address,
                load_if_exists=True,
                directions=["maximize" if m.maximize else "minimize" for m in self._objectives],
            )
        except (SQLAlchemyError, RuntimeError, AssertionError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"the study cannot be opened: {first}", where=str(file),
                fix="another out=FOLDER, or move the file away",
            ) from None  # fmt: skip

    def _sampler(self) -> Any:
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # A resumed study must not draw what it drew first.
            seed = self._seed + len(self._study.get_trials(deepcopy=False))
            return optuna.samplers.TPESampler(multivariate=True, n_startup_trials=6, seed=seed)

    def _resume(self) -> None:
        """A run that was interrupted is tried again first."""
        from optuna.trial import TrialState

        self._study.sampler = self._sampler()
        for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(left.number, state=TrialState.FAIL)
            if left.params:
                self._study.enqueue_trial(left.params)

    # -- history ---------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """What was tried, in order."""
        return [row for _, row in self._tried()]

    def _tried(self) -> Iterator[tuple[FrozenTrial, Row]]:
        for trial in self._study.get_trials(deepcopy=False):
            if _ROW in trial.user_attrs:
                yield trial, from_json(Row, trial.user_attrs[_ROW])

    def front(self) -> list[Row]:
        """The rows that keep every requirement and that no other one is better than in all
        objectives."""
        from optuna.trial import TrialState

        if not self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            return []
        return [from_json(Row, t.user_attrs[_ROW]) for t in self._study.best_trials]

    # -- next ------------------------------------------------------------------------------

    def ask(self) -> Asked | None:
        """What to try next; None if everything was tried."""
        seen = {self._words(t) for t, _ in self._tried()}
        finite = self._combinations()
        if finite is not None and seen >= set(finite):
            return None
        asked = self._draw()
        for _ in range(_AGAIN):
            if asked.words not in seen:
                break
            self._drop(asked)
            if finite is not None:
                self._study.enqueue_trial(self._nearest(asked.words, finite, seen))
            asked = self._draw()
        return asked

    def _draw(self) -> Asked:
        trial = self._study.ask(self._distributions())
        return Asked(trial, self._words(trial))

    def _drop(self, asked: Asked) -> None:
        from optuna.trial import TrialState

        self._study.tell(asked.trial, state=TrialState.FAIL)

    def _words(self, trial: Trial | FrozenTrial) -> Words:
        return tuple(p.text(trial.params[p.key]) for p in self._parameters)

    def _combinations(self) -> list[Words] | None:
        """All of a finite space; None if it has intervals or is too large."""
        sizes = [len(p.choices) for p in self._parameters]
        if 0 in sizes or math.prod(sizes) > _MOST:
            return None
        return list(product(*(p.choices for p in self._parameters)))

    def _nearest(self, words: Words, every: list[Words], seen: set[Words]) -> dict[str, Any]:
        """Of what was not tried, that which differs from ``words`` least."""
        left = [other for other in every if other not in seen]
        random.Random(self._seed + len(seen)).shuffle(left)
        best = min(left, key=lambda other: sum(a != b for a, b in zip(other, words, strict=True)))
        return {p.key: value for p, value in zip(self._parameters, best, strict=True)}

    def _distributions(self) -> dict[str, Any]:
        from optuna import distributions as d

        made: dict[str, Any] = {}
        for p in self._parameters:
            if p.choices:
                made[p.key] = d.CategoricalDistribution(p.choices)
            elif p.whole:
                made[p.key] = d.IntDistribution(int(p.low), int(p.high), log=p.log)
            else:
                made[p.key] = d.FloatDistribution(p.low, p.high, log=p.log)
        return made

    # -- results ---------------------------------------------------------------------------

    def tell(self, asked: Asked, row: Row) -> str:
        """Note what came of it: values and violations, or that it is infeasible. A row that lacks
        a measure becomes a failed one.

        Returns:
            What was not measured, in words; empty if everything was.
        """
        from optuna.trial import TrialState

        results = row.results if row.state == DONE else None
        lacking = self._lacking(results)
        if lacking:
            text = f"not measured: {lacking}"
            row.state, row.error = FAILED, Failure(text, text, 1, "")
        asked.trial.set_user_attr(_ROW, to_json(row))
        asked.trial.set_constraint(_RAN, 1.0 if results is None or lacking else 0.0)
        if results is None or lacking:
            # Not FAIL: a sampler learns nothing from that, and from an infeasible trial it does.
            self._study.tell(asked.trial, state=TrialState.PRUNED)
            return lacking
        for one in self._requirements:
            excess = one.violation(results)
            assert excess is not None
            asked.trial.set_constraint(one.text, excess)
        self._study.tell(asked.trial, [m.get(results) for m in self._objectives])  # type: ignore[misc]
        return ""

    def _lacking(self, results: Results | None) -> str:
        if results is None:
            return ""
        wanted = [*self._objectives, *(r.measure for r in self._requirements)]
        values = {m.name: m.get(results) for m in wanted}
        names = [name for name, v in values.items() if v is None or not math.isfinite(v)]
        return ", ".join(names)


def require_optuna() -> None:
    """
    Raises:
        MissingDependencyError: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise MissingDependencyError(
            "tune needs the package 'optuna', which is not installed",
            fix="pip install 'llm_export[tune]'",
        )


def spent(rows: Sequence[Row]) -> tuple[int, float]:
    """(runs, seconds) of what ran; a refused trial did not run."""
    ran = [row for row in rows if row.state != REFUSED]
    return len(ran), sum(row.seconds or 0.0 for row in ran)


def differing(known: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """A line for each entry that differs, nested ones by their whole name."""
    lines = []
    for key in dict.fromkeys([*known, *now]):
        old, new, name = known.get(key), now.get(key), f"{prefix}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differing(old, new, f"{name}.")
        elif old != new:
            lines.append(f"  {name}: {_shown(old)} then, {_shown(new)} now")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "nothing"
    if isinstance(value, dict):
        return " ".join(f"{k}={_shown(v)}" for k, v in value.items())
    return "nothing" if value is None else str(value)
