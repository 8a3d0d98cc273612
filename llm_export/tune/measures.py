"""What a tune optimizes and requires, by name: metrics, evaluation tasks, size, speed, memory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from llm_export.bundle.verdict import MEAN_KL
from llm_export.errors import RecipeError, did_you_mean
from llm_export.metrics.value import Value
from llm_export.sweep.measure import COSTS, Measure, of_evaluation, of_metrics
from llm_export.sweep.state import Results

ALIASES = {"quality": MEAN_KL, "size": "pte_mb", "ttft": "first_token", "memory": "memory_mb",
           "top1": "top1_agreement"}  # fmt: skip
_DIRECTIONS = {"min": False, "max": True}


def measures() -> dict[str, Measure]:
    """Name -> what every bundle may have; evaluation tasks are named TASK.VALUE beside these."""
    directed = (one for one in of_metrics() if one.value.higher_is_better is not None)
    return {one.name: one for one in (*COSTS, *directed)}


def objective(text: str) -> Measure:
    """The measure that an ``--objective`` names: NAME, or NAME:min and NAME:max.

    Raises:
        RecipeError: there is none, or its direction is not known.
    """
    name, _, said = text.strip().partition(":")
    if said and said not in _DIRECTIONS:
        raise RecipeError(
            f"'{said}' is no direction", where=f"--objective {text}", fix="NAME:min or NAME:max"
        )
    found = named(name, f"--objective {text}")
    better = found.value.higher_is_better
    if said:
        if better is not None and better is not _DIRECTIONS[said]:
            direction = "larger" if better else "smaller"
            raise RecipeError(
                f"of {found.name} the {direction} is the better", where=f"--objective {text}",
                fix=f"--objective {name}",
            )  # fmt: skip
        value = replace(found.value, higher_is_better=_DIRECTIONS[said])
        return replace(found, value=value)
    if better is None:
        raise RecipeError(
            f"whether a small or a large {found.name} is better is not known before it is measured",
            where=f"--objective {text}", fix=f"--objective {name}:min or {name}:max",
        )  # fmt: skip
    return found


def named(name: str, where: str) -> Measure:
    """
    Raises:
        RecipeError: there is no such measure; the message has the nearest.
    """
    known = measures()
    found = known.get(ALIASES.get(name, name))
    if found is not None:
        return found
    if re.fullmatch(r"[\w-]+\.[\w.@/-]+", name):
        return of_evaluation(name, Value(name))
    names = [*ALIASES, *known]
    raise RecipeError(
        f"there is no measure '{name}'", where=where,
        fix=f"{did_you_mean(name, names)}; TASK.VALUE is one of an evaluation task",
    )  # fmt: skip


_COMPARISON = re.compile(r"\s*([\w.@/-]+?)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Requirement:
    """A bound that a trial must keep.

    Attributes:
        text: in one form, however it was written.
        upper: whether the measure must be below the bound.
        strict: whether the bound itself is too much.
    """

    text: str
    measure: Measure
    bound: float
    upper: bool
    strict: bool

    def violation(self, results: Results) -> float | None:
        """How far the bound is exceeded, as a share of it, or 0 and less; None: not measured."""
        value = self.measure.get(results)
        if value is None or math.isnan(value):
            return None
        excess = (value - self.bound) * (1 if self.upper else -1)
        if excess == 0:
            return 1e-9 if self.strict else 0.0
        return excess / (abs(self.bound) or 1.0)


def requirement(text: str) -> Requirement:
    """What a ``--require`` states: MEASURE < NUMBER, or with <=, > or >=.

    Raises:
        RecipeError: it is no such comparison.
    """
    match = _COMPARISON.fullmatch(text)
    try:
        bound = float(match[3]) if match else None
    except ValueError:
        bound = None
    if match is None or bound is None or not math.isfinite(bound):
        raise RecipeError(
            "this is no requirement", where=f"--require {text!r}",
            fix="--require 'mean_kl < 0.05'; a measure, one of < <= > >=, and a number",
        )  # fmt: skip
    found = named(match[1], f"--require {text!r}")
    shown = f"{found.name} {match[2]} {bound:g}"
    return Requirement(shown, found, bound, match[2].startswith("<"), len(match[2]) == 1)


def require_measurable(wanted: Iterable[Measure], enabled: dict[str, bool]) -> None:
    """
    Args:
        enabled: part of a recipe -> whether it runs.

    Raises:
        RecipeError: nothing of the recipe would measure one.
    """
    for one in wanted:
        if one.stage and not enabled.get(one.stage, True):
            raise RecipeError(
                f"{one.name} is not measured: {one.stage} is off", where=one.name,
                fix=f"{one.stage}=... with an option that is on; llm-export ls {one.stage}s",
            )  # fmt: skip
