"""What a sweep's tables and charts show of each variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llm_export.sweep.measure import COSTS, Measure, of_evaluation, of_metrics
from llm_export.sweep.state import Results, Row


@dataclass(frozen=True)
class Column:
    """
    Attributes:
        show: the value as text; None if it was not measured.
        measure: what it shows; None for a column of words.
    """

    title: str
    show: Callable[[Results], str | None]
    measure: Measure | None = None

    @property
    def speed(self) -> bool:
        return self.measure is not None and self.measure.speed

    def rank(self, results: Results) -> float | None:
        """As ``Measure.rank``; words have none."""
        return None if self.measure is None else self.measure.rank(results)


def columns(rows: list[Row]) -> tuple[Column, ...]:
    """The verdict, the metrics, what was evaluated, and what an app pays for it."""
    measured = [one for one in of_metrics() if one.value.brief]
    found = {k: e.shown for row in rows if row.results for k, e in row.results.evaluated.items()}
    evaluated = [of_evaluation(key, value) for key, value in found.items()]
    costs = [one for one in COSTS if one.value.brief]
    verdict = Column("verdict", lambda results: results.verdict)
    return (verdict, *map(_of, (*measured, *evaluated, *costs)))


def shown_columns(rows: list[Row]) -> list[Column]:
    """Those with a value of any row."""
    return [c for c in columns(rows) if any(row.results and c.show(row.results) for row in rows)]


def _of(one: Measure) -> Column:
    return Column(one.value.short_heading, one.show, one)
