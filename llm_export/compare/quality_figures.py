"""How good a bundle's program is: the metrics of its verification, and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llm_export.compare.figure import (
    EVALUATION,
    LOWERING,
    QUALITY,
    Figure,
    Quantity,
    entry,
    number,
    part,
)
from llm_export.compare.side import Side
from llm_export.evaluation.results import PROGRAM, TaskResult
from llm_export.metrics import columns
from llm_export.metrics.interval import Interval
from llm_export.metrics.scale import LEVELS
from llm_export.metrics.value import REFERENCE, Value

_WORDS = [level.word for level in LEVELS]
VERDICT = Quantity(
    "verdict.level", QUALITY,
    Value("level", f"verdict, from 0 (lossless) to {len(LEVELS) - 1} (broken)", "", False,
          form="{:.0f}", brief=False),
)  # fmt: skip
NORMAL = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: so many standard errors reach a 95 % interval."""


def word_of(side: Side) -> str | None:
    """The word of the verdict; None where nothing was compared."""
    word = part(side.proof, "verdict").get("word")
    return word if isinstance(word, str) else None


def quality_figures(side: Side) -> Iterator[Figure]:
    word = word_of(side)
    if word in _WORDS:
        yield Figure(VERDICT, float(_WORDS.index(word)), exact=True)
    compared = part(side.proof, "comparisons")
    titles = {value.name: value for value in columns()}
    for group in (QUALITY, LOWERING):
        yield from _comparison(group, part(compared, group), titles, _text_of(side, "verify"))
    for result in side.evaluation.tasks if side.evaluation else ():
        yield from _task(result)


def known_quality() -> Iterator[Quantity]:
    yield VERDICT
    for group in (QUALITY, LOWERING):
        for value in columns():
            yield _quantity(group, value)
    for value in columns():
        if not value.name.startswith(REFERENCE):
            yield Quantity(entry("evaluation.text", value.name), EVALUATION, value)


def _quantity(group: str, value: Value) -> Quantity:
    """Of the comparison with the eager model as exported, tables show nothing: it is of export, not
    of what a user notices."""
    shown = Value(
        value.name, value.heading, value.unit, value.higher_is_better, form=value.form,
        short_form=value.short_form, brief=value.brief and group == QUALITY,
    )  # fmt: skip
    return Quantity(entry(group, value.name), group, shown)


def _comparison(
    group: str,
    found: Mapping[str, object],
    titles: Mapping[str, Value],
    conditions: Mapping[str, object],
) -> Iterator[Figure]:
    intervals = part(found, "intervals")
    for name, held in found.items():
        value = number(held)
        if value is None or name == "positions":
            continue
        yield Figure(
            _quantity(group, titles.get(name, Value(name))), value,
            interval=_interval(part(intervals, name)),
            conditions={**conditions, "positions": found.get("positions")},
        )  # fmt: skip


def _interval(found: Mapping[str, object]) -> Interval | None:
    low, high = number(found.get("low")), number(found.get("high"))
    return None if low is None or high is None else Interval(low, high)


def _text_of(side: Side, group: str) -> dict[str, object]:
    """What the numbers depend on beside the program: the text, and the tokens that it is cut into.
    Another float model makes other numbers too, but those are of interest."""
    recipe = side.recipe or {}
    sizes = part(part(recipe, "model"), "config")
    found = {"text": part(recipe, group).get("text"), "vocabulary": sizes.get("vocab_size")}
    return found if recipe else {}


def _task(result: TaskResult) -> Iterator[Figure]:
    score = result.of(PROGRAM)
    if score is None:
        return
    for column in result.columns:
        value = number(score.values.get(column.name))
        if value is None:
            continue
        error = number((score.errors or {}).get(column.name))
        between = (score.intervals or {}).get(column.name)
        if between is None and error is not None:
            between = Interval(value - NORMAL * error, value + NORMAL * error)
        shown = Value(
            column.name, f"{result.task}: {column.heading}", column.unit, column.higher_is_better,
            form=column.form, brief=column.brief,
        )  # fmt: skip
        name = entry(entry("evaluation", result.task), column.name)
        yield Figure(
            Quantity(name, EVALUATION, shown), value, interval=between,
            conditions={"task": result.about, "count": score.count},
        )  # fmt: skip
