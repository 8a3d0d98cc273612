"""Quality and parity: the comparisons of verification, and the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.evaluation.results import PROGRAM, Evaluation, Score, TaskResult
from llm_export.json_data import from_json
from llm_export.metrics import METRICS, columns
from llm_export.metrics.value import Value
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Bar, Cell, Note, Table, share_of

_COMPARED = (
    ("lowering", "the program against the exported eager model"),
    ("quality", "the program against the float32 model"),
    ("floor", "the exported model against itself, its inputs perturbed by 1e-6"),
    ("chunking", "the same text fed in other chunks"),
    ("restored", "a text continued after going back"),
)
_UNRUN = {
    "lowering": "the lowered graph, run in Python, against the exported model",
    "quality": "the exported model against the float32 model",
}
"""Where this machine cannot run the program."""


def comparisons(found: Evidence) -> Table | None:
    """A row for each metric and a column for each comparison, with intervals and limits."""
    compared: Mapping[str, Any] = found.proof.get("comparisons") or {}
    shown = [(name, title) for name, title in _COMPARED if compared.get(name)]
    if not shown:
        return None
    verified = (found.manifest.get("proof") or found.proof).get("verified")
    titles = [title if verified else _UNRUN.get(name, title) for name, title in shown]
    limits = _limits(found)
    values = present([compared[name] for name, _ in shown])
    rows: list[list[Cell]] = [
        [
            value.full_heading,
            *(_cell(value, compared[name], limits.get(name, {})) for name, _ in shown),
        ]
        for value in values
    ]
    return Table(["metric", *titles], rows)


def present(compared: list[Mapping[str, Any]]) -> list[Value]:
    """The values that any of them has: those of the metrics here, then those of others, such as of
    a plugin that is not installed."""
    numbers = (item for each in compared for item in each.items())
    names = {name for name, number in numbers if isinstance(number, int | float)} - {"positions"}
    known = [value for value in columns() if value.name in names]
    rest = sorted(names - {value.name for value in known})
    return [*known, *(Value(name) for name in rest)]


def _limits(found: Evidence) -> dict[str, dict[str, str]]:
    """Comparison -> name of a metric -> its limit in words. The noise floor widens those of the
    lowering, as in verification."""
    verify = found.settings.get("verify") or {}
    floor = (found.proof.get("comparisons") or {}).get("floor") or {}
    made: dict[str, dict[str, str]] = {}
    for metric in (METRICS.get(name) for name in METRICS.sound()):
        for name in ("lowering", "quality") if metric.limit else ():
            limit, why = (verify.get(name) or {}).get(metric.limit), ""
            if name == "quality":
                limit = _recipe_limit(found, metric.name, limit)
            elif limit is not None and metric.name in floor:
                wide = metric.widened(limit, floor[metric.name], verify.get("noise_factor") or 1.0)
                limit, why = wide, " (noise floor)" * (wide != limit)
            if limit is not None:
                sign = "≥" if metric.higher_is_better else "≤"
                made.setdefault(name, {})[metric.name] = f"limit {sign} {limit:.3g}{why}"
    return made


def _recipe_limit(found: Evidence, metric: str, limit: float | None) -> float | None:
    """The limit that the run had: the verdict keeps it, where what is quantized changes it."""
    verdict = found.proof.get("verdict") or {}
    for figure in verdict.get("figures") or []:
        if figure["name"] == metric and figure.get("recipe_limit") is not None:
            return float(figure["recipe_limit"])
    return limit


def _cell(value: Value, compared: Mapping[str, Any], limits: Mapping[str, str]) -> Cell:
    text = value.text(compared.get(value.name))
    between = (compared.get("intervals") or {}).get(value.name)
    notes = (
        []
        if between is None
        else [f"{value.text(between['low'])} to {value.text(between['high'])}"]
    )
    if value.name in limits:
        notes.append(limits[value.name])
    return Note(text, "; ".join(notes)) if notes else text


def positions(found: Evidence) -> int:
    return int(found.proof.get("positions") or 0)


def evaluation(found: Evidence) -> Evaluation | None:
    return from_json(Evaluation, dict(found.evaluation)) if found.evaluation else None


def task_tables(result: TaskResult) -> list[Table]:
    """A row for each model, then the program's values by position."""
    rows: list[list[Cell]] = [
        [score.layer, *(_scored(column, score) for column in result.columns)]
        for score in result.scores
    ]
    tables = [Table(["model", *(column.full_heading for column in result.columns)], rows)]
    last = result.of(PROGRAM) or (result.scores[-1] if result.scores else None)
    if last is not None and last.spans:
        tables.append(_by_position(result, last))
    return tables


def _scored(column: Value, score: Score) -> Cell:
    text = column.text(score.values.get(column.name))
    between = (score.intervals or {}).get(column.name)
    error = (score.errors or {}).get(column.name)
    if between is not None:
        return Note(text, f"{column.text(between.low)} to {column.text(between.high)}")
    return text if error is None else Note(text, f"± {column.text(error)}")


def _by_position(result: TaskResult, score: Score) -> Table:
    spans = score.spans or ()
    shown = [c for c in result.columns if c.brief and any(c.name in s.values for s in spans)]
    most = {c.name: max(abs(s.values.get(c.name, 0.0)) for s in spans) for c in shown}
    rows: list[list[Cell]] = []
    for span in spans:
        row: list[Cell] = [f"{span.first:,} to {span.last:,}", f"{span.count:,}"]
        for column in shown:
            value = span.values.get(column.name)
            share = share_of(abs(value or 0.0), most[column.name])
            row.append("–" if value is None else Bar(column.text(value), share))
        rows.append(row)
    return Table(
        ["tokens before", "positions", *(column.full_heading for column in shown)], rows,
        caption=f"By the number of tokens before a position ({score.layer})",
    )  # fmt: skip
