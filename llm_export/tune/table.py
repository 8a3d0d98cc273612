"""The table of a tune: the front, then all trials as a sweep shows them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from llm_export.sweep.measure import Measure
from llm_export.sweep.state import DONE, FAILED, REFUSED, Row
from llm_export.sweep.table import plain_table
from llm_export.sweep.table import table as markdown_table
from llm_export.tune.measures import Requirement
from runtime_py.benchmark.words import aligned, markdown

_WIDTH = 100


def screen(
    rows: list[Row], front: list[Row], best: Row | None, objectives: Sequence[Measure],
    requirements: Sequence[Requirement], ended: str,
) -> str:  # fmt: skip
    """For a terminal."""
    parts = [_summary(rows, ended), *_goals(objectives, requirements)]
    parts.append(_aligned(_cells(front, best, objectives)) if front else _none(rows, requirements))
    if front:
        parts.append(_marks(objectives))
    if rows:
        parts.append(plain_table(rows))
    return "\n\n".join(parts)


def document(
    name: str, rows: list[Row], front: list[Row], best: Row | None, objectives: Sequence[Measure],
    requirements: Sequence[Requirement], ended: str,
) -> str:  # fmt: skip
    """The text of tune.md."""
    parts = [f"# {name}", _summary(rows, ended), *_goals(objectives, requirements), "## Front"]
    parts.append(_markdown(_cells(front, best, objectives)) if front else _none(rows, requirements))
    if front:
        parts.append(_marks(objectives))
    parts += ["## All trials", markdown_table(rows) if rows else "None."]
    return "\n\n".join(parts) + "\n"


def _summary(rows: Sequence[Row], ended: str) -> str:
    states = [row.state for row in rows]
    parts = [f"{states.count(DONE)} trials are done"]
    parts += [
        f"{states.count(state)} {state}" for state in (FAILED, REFUSED) if state in states
    ]  # fmt: skip
    return f"{', '.join(parts)}; {ended}."


def _goals(objectives: Sequence[Measure], requirements: Sequence[Requirement]) -> list[str]:
    goals = [f"{'largest' if m.maximize else 'smallest'} {m.name}" for m in objectives]
    lines = [f"Wanted: {', '.join(goals)}."]
    if requirements:
        lines.append(f"Required: {', '.join(r.text for r in requirements)}.")
    return lines


def _cells(
    front: Sequence[Row], best: Row | None, objectives: Sequence[Measure]
) -> list[list[str]]:  # fmt: skip
    """Titles, then a row for each recipe of the front."""
    keys = list(front[0].swept)
    lines = [[*keys, *(m.value.short_heading for m in objectives), "recipe"]]
    for row in front:
        assert row.results is not None
        values = [m.value.short(m.get(row.results)) for m in objectives]
        mark = "best.yaml" if row is best else f"front/{row.name}.yaml"
        lines.append([*(row.swept[k] for k in keys), *values, mark])
    return lines


def _marks(objectives: Sequence[Measure]) -> str:
    if len(objectives) == 1:
        return "Run it: llm-export run best.yaml, in this folder."
    text = (
        "No trial is better than one of these in every objective. best.yaml is the nearest to the "
        "best of each, with every objective scaled to the range of the front; front/ has them all."
    )
    return textwrap.fill(text, _WIDTH)


def _none(rows: Sequence[Row], requirements: Sequence[Requirement]) -> str:
    done = [row for row in rows if row.results is not None and row.state == DONE]
    if not done:
        return "No trial has a result."
    near = [(sum(max(0.0, r.violation(row.results) or 0.0) for r in requirements), row.name)
            for row in done if row.results is not None]  # fmt: skip
    return f"No trial keeps every requirement; {min(near)[1]} is the nearest to it."


def _aligned(lines: list[list[str]]) -> str:
    return "\n".join(aligned(lines, left=range(len(lines[0]))))


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(markdown(lines, left=range(len(lines[0]))))
