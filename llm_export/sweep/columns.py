"""What a sweep's tables and charts show of each variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from llm_export.metrics import columns as metric_columns
from llm_export.metrics.value import Value
from llm_export.sweep.state import Results, Row


@dataclass(frozen=True)
class Column:
    """
    Attributes:
        title: with the unit.
        show: the value as text; None if it was not measured.
        number: the value; None for a column of words.
        higher_is_better: None: neither direction is.
        speed: whether other processes disturb it.
        told: the title in full, of a column of numbers.
    """

    title: str
    show: Callable[[Results], str | None]
    number: Callable[[Results], float | None] | None = None
    higher_is_better: bool | None = None
    speed: bool = False
    told: str = ""

    def rank(self, results: Results) -> float | None:
        """A number that is the less, the better; None if it was not measured, or neither direction
        is better."""
        value = None if self.number is None else self.number(results)
        if value is None or self.higher_is_better is None:
            return None
        return -value if self.higher_is_better else value


def _cost(
    title: str, name: str, form: str, told: str, *, scale: float = 1.0,
    higher_is_better: bool = False, speed: bool = False,
) -> Column:  # fmt: skip
    """A column of a field of ``Results``, in its unit times ``scale``."""

    def number(results: Results) -> float | None:
        value = getattr(results, name)
        return None if value is None else scale * value

    return Column(
        title, partial(_shown, number, form.format), number, higher_is_better, speed, told
    )


def _shown(
    number: Callable[[Results], float | None], text: Callable[[float], str], results: Results
) -> str | None:
    value = number(results)
    return None if value is None else text(value)


SIZE_AND_SPEED = (
    _cost("MB", "pte_mb", "{:.1f}", "size (MB)"),
    _cost("TTFT s", "first_token", "{:.3g}", "time to first token (s)", speed=True),
    _cost("decode", "decode", "{:.1f}", "decode (tokens/s)", higher_is_better=True, speed=True),
    _cost("RAM MB", "memory", "{:.0f}", "peak memory (MB)", scale=1e-6),
)


def columns(rows: list[Row]) -> tuple[Column, ...]:
    """The verdict, the metrics, what was evaluated, and what an app pays for it."""
    measured = [
        _of(value, partial(_metric, value.name)) for value in metric_columns() if value.brief
    ]
    found = {k: e.shown for row in rows if row.results for k, e in row.results.evaluated.items()}
    evaluated = [_of(value, partial(_evaluated, key)) for key, value in found.items()]
    verdict = Column("verdict", lambda results: results.verdict)
    return (verdict, *measured, *evaluated, *SIZE_AND_SPEED)


def shown_columns(rows: list[Row]) -> list[Column]:
    """Those with a value of any row."""
    return [c for c in columns(rows) if any(row.results and c.show(row.results) for row in rows)]


def _metric(name: str, results: Results) -> float | None:
    return results.values.get(name)


def _evaluated(key: str, results: Results) -> float | None:
    found = results.evaluated.get(key)
    return None if found is None else found.number


def _of(value: Value, number: Callable[[Results], float | None]) -> Column:
    """The column of a value of a metric or of an evaluation task."""
    return Column(
        value.short_heading, partial(_shown, number, value.short), number, value.higher_is_better,
        told=value.full_heading,
    )  # fmt: skip
