"""What a tune optimizes and requires, by name: metrics, evaluation tasks, size, speed, memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from llm_export.bundle.verdict import MEAN_KL
from llm_export.errors import RecipeError, did_you_mean
from llm_export.metrics import columns
from llm_export.metrics.value import Value
from llm_export.sweep.state import Results

Get = Callable[[Results], float | None]


@dataclass(frozen=True)
class Measure:
    """A number of a bundle.

    Attributes:
        value: how it is called and written, and which direction is better.
        stage: part of a recipe that must be enabled for it; empty if every bundle has it.
    """

    value: Value
    get: Get
    stage: str = ""

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def maximize(self) -> bool:
        return bool(self.value.higher_is_better)


def _of(name: str, scale: float = 1.0) -> Get:
    def get(results: Results) -> float | None:
        found = getattr(results, name)
        return None if found is None else scale * found

    return get


_COSTS = (
    Measure(Value("pte_mb", "MB", "MB", False, form="{:.1f}"), _of("pte_mb")),
    Measure(Value("decode", "decode", "tokens/s", True, form="{:.1f}"), _of("decode"), "benchmark"),
    Measure(Value("prefill", "prefill", "tokens/s", True, form="{:.0f}"), _of("prefill"),
            "benchmark"),
    Measure(Value("first_token", "TTFT s", "s", False), _of("first_token"), "benchmark"),
    Measure(Value("memory_mb", "RAM MB", "MB", False, form="{:.0f}"), _of("memory", 1e-6),
            "benchmark"),
)  # fmt: skip
ALIASES = {"quality": MEAN_KL, "size": "pte_mb", "ttft": "first_token", "memory": "memory_mb",
           "top1": "top1_agreement"}  # fmt: skip
_DIRECTIONS = {"min": False, "max": True}


def measures() -> dict[str, Measure]:
    """Name -> what every bundle may have; evaluation tasks are named TASK.VALUE beside these."""
    found = {one.name: one for one in _COSTS}
    for value in columns():
        if value.higher_is_better is not None:
            found[value.name] = Measure(value, _of_metric(value.name), "verify")
    return found


def _of_metric(name: str) -> Get:
    return lambda results: results.values.get(name)


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
        return Measure(_directed(found.value, _DIRECTIONS[said]), found.get, found.stage)
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
        return Measure(Value(name), _of_evaluation(name), "evaluate")
    names = [*ALIASES, *known]
    raise RecipeError(
        f"there is no measure '{name}'", where=where,
        fix=f"{did_you_mean(name, names)}; TASK.VALUE is one of an evaluation task",
    )  # fmt: skip


def _of_evaluation(name: str) -> Get:
    def get(results: Results) -> float | None:
        found = results.evaluated.get(name)
        return None if found is None else found.number

    return get


def _directed(value: Value, maximize: bool) -> Value:
    return Value(value.name, value.title, value.unit, maximize, value.short_title, form=value.form)


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
        if value is None or value != value:
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
    if match is None or bound is None or bound != bound or abs(bound) == float("inf"):
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
