"""evaluation.json: what was evaluated, with titles and formats of its numbers, so that it is shown
without the plugins that measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL
from llm_export.metrics.interval import Interval
from llm_export.metrics.value import Value

PROGRAM, FLOAT = "program", "float"
"""Layers that are named elsewhere; see ``config.evaluate_schema.EvaluatedLayer``."""


@dataclass(frozen=True)
class Span:
    """Values over the positions that have ``first`` to ``last`` tokens before them."""

    first: int
    last: int
    count: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Score:
    """Values of one model.

    Attributes:
        layer: float, transformed, quantized or program.
        count: what the values are means over: positions, or examples.
        errors: name -> standard error.
        intervals: name -> 95 % confidence interval.
        spans: the same values by position, if the task has positions.
    """

    layer: str
    count: int
    values: Mapping[str, float]
    errors: Mapping[str, float] | None = field(default=None, metadata=OPTIONAL)
    intervals: Mapping[str, Interval] | None = field(default=None, metadata=OPTIONAL)
    spans: tuple[Span, ...] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class TaskResult:
    """
    Attributes:
        about: what was measured on what, for people.
        columns: the values that the scores may have, in the order of a table.
    """

    task: str
    about: str
    columns: tuple[Value, ...]
    scores: tuple[Score, ...]

    def of(self, layer: str) -> Score | None:
        return next((score for score in self.scores if score.layer == layer), None)


@dataclass(frozen=True)
class Evaluation:
    """
    Attributes:
        measured: when, UTC.
        missing: task, layer, or both -> why it was not evaluated.
    """

    measured: str
    tasks: tuple[TaskResult, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    def brief(self) -> dict[str, dict[str, float]]:
        """Task -> values of the program, for the manifest."""
        found = {result.task: result.of(PROGRAM) for result in self.tasks}
        return {name: dict(score.values) for name, score in found.items() if score is not None}
