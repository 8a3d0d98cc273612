"""An evaluation as lines for a terminal, and as Markdown for reports and cards."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.evaluation.results import FLOAT, PROGRAM, Evaluation, Score, TaskResult
from llm_export.metrics.value import Value


def rows(found: Evaluation) -> list[tuple[str, str]]:
    """(task, the program's values beside the float model's) in brief."""
    return [(result.task, text) for result in found.tasks if (text := _line(result))]


def _line(result: TaskResult) -> str:
    program, reference = result.of(PROGRAM), result.of(FLOAT)
    score = program or (result.scores[-1] if result.scores else None)
    if score is None:
        return ""
    parts = []
    for column in result.columns:
        value = score.values.get(column.name)
        if value is None or not column.brief:
            continue
        other = None if reference in (None, score) else reference.values.get(column.name)
        beside = "" if other is None else f" (float32 {column.short(other)})"
        parts.append(f"{column.short_heading} {column.short(value)}{beside}")
    told = ", ".join(parts)
    return told if score is program else f"{told} ({score.layer})"


def markdown(found: Evaluation, *, level: int = 3) -> str:
    """A section for each task: what it is, a row for each model, and the values by position.

    Args:
        level: of its headings.
    """
    parts = [part for result in found.tasks for part in _section(result, "#" * level)]
    if found.missing:
        parts.append("Not evaluated:")
        parts.append("\n".join(f"- {what}: {why}" for what, why in found.missing.items()))
    return "\n\n".join(parts)


def _section(result: TaskResult, marks: str) -> Iterator[str]:
    yield f"{marks} {result.task}"
    yield result.about
    yield _table(
        ["model", *(column.full_heading for column in result.columns)],
        [[s.layer, *(_cell(c, s) for c in result.columns)] for s in result.scores],
    )
    last = result.of(PROGRAM) or result.scores[-1]
    if last.spans:
        columns = [c for c in result.columns if any(c.name in span.values for span in last.spans)]
        brief = [column for column in columns if column.brief]
        yield f"By the number of tokens before a position ({last.layer}):"
        yield _table(
            ["tokens before", "positions", *(column.heading for column in brief)],
            [
                [f"{span.first} to {span.last}", str(span.count),
                 *(column.text(span.values.get(column.name)) for column in brief)]
                for span in last.spans
            ],
        )  # fmt: skip


def _cell(column: Value, score: Score) -> str:
    text = column.text(score.values.get(column.name))
    error = (score.errors or {}).get(column.name)
    return text if error is None else f"{text} ± {column.text(error)}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in (head, rule, *lines)
    )
