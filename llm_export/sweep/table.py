"""The one table of a sweep, for sweep.md and for the terminal."""

from __future__ import annotations

import math

from llm_export.bundle.verdict import MEAN_KL
from llm_export.folding import columns_here, folded
from llm_export.metrics import columns as metric_columns
from llm_export.sweep.columns import Column, shown_columns
from llm_export.sweep.state import DONE, Row
from runtime_py.benchmark.words import aligned

BEST, DISTURBED = "*", "~"
NOTES = (
    "Sorted by quality (mean KL), then by size; * marks the best of a column.",
    "MB is the program's size, TTFT the time to first token, decode is tokens/s, RAM is the peak "
    "of the whole process, s the seconds of the run that made the bundle.",
)
_DISTURBED_NOTE = "~ marks speeds that other processes on the machine disturbed."
TOGETHER = "Variants ran at the same time: where they shared a machine, speeds are too low."


def ordered(rows: list[Row]) -> list[Row]:
    """Finished rows by mean KL as it is shown, then by size; then the others, in their order."""

    def place(row: Row) -> tuple[bool, float, float]:
        found = row.results
        if found is None:
            return True, 0.0, 0.0
        loss = found.values.get(MEAN_KL, math.inf)
        return False, float(f"{loss:.2g}"), found.pte_mb

    return sorted(rows, key=place)


def table(rows: list[Row]) -> str:
    """Markdown, aligned so that it reads as text too; a summary says why a variant is not done."""
    head, *lines = _cells(rows)
    if any(row.error for row in rows):
        head.append("summary")
        for row, line in zip(ordered(rows), lines, strict=True):
            line.append(row.error.line if row.error else "")
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    if head[-1] == "summary":
        widths[-1] = len(head[-1])  # long, and the last: nothing stands to the right of it
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in (head, rule, *lines)
    )


def plain_table(rows: list[Row]) -> str:
    """The same for a terminal: narrower, with the summaries below, each with all its variants."""
    cells = _cells(rows)
    lines = aligned(cells, left=range(len(cells[0])))
    names: dict[str, list[str]] = {}
    for row in ordered(rows):
        if row.error:
            names.setdefault(row.error.line, []).append(row.name)
    errors = [
        folded(f"{', '.join(those)}: {line}", columns_here(), 2) for line, those in names.items()
    ]
    return "\n".join([*lines, *([""] if errors else []), *errors])


def _cells(rows: list[Row]) -> list[list[str]]:
    """Titles, then a row for each variant; columns with nothing in them are left out."""
    rows = ordered(rows)
    keys = list(rows[0].swept)
    shown = shown_columns(rows)
    states = any(row.state != DONE for row in rows)
    reused = any(row.reused for row in rows)
    best = [best_of(column, rows) for column in shown]
    head = [
        *(short_keys(keys) or ["variant"]), *(["state"] if states else []),
        *(column.title for column in shown), "s", *(["reused"] if reused else []),
    ]  # fmt: skip
    lines = [head]
    for row in rows:
        cells = [row.swept[key] for key in keys] or [row.name]
        cells += [row.state] if states else []
        cells += [cell_text(c, row, of) for c, of in zip(shown, best, strict=True)]
        cells.append("–" if row.seconds is None else f"{row.seconds:.0f}")
        lines.append([*cells, *([row.reused] if reused else [])])
    return lines


def short_keys(keys: list[str]) -> list[str]:
    """The last part of each key, where that is of one key only."""
    leaves = [key.rpartition(".")[2] for key in keys]
    return [
        leaf if leaves.count(leaf) == 1 else key for key, leaf in zip(keys, leaves, strict=True)
    ]


def best_of(column: Column, rows: list[Row]) -> float | None:
    """The best value of a column; None if there is nothing to choose from."""
    values = [column.rank(row.results) for row in rows if row.results]
    known = [value for value in values if value is not None]
    return min(known) if len(set(known)) > 1 else None


def cell_text(column: Column, row: Row, best: float | None) -> str:
    """A cell, marked if it is the best of its column, or disturbed."""
    text = column.show(row.results) if row.results else None
    if text is None or row.results is None:
        return "–"
    is_best = best is not None and column.rank(row.results) == best
    mark = DISTURBED if column.speed and row.results.disturbed else ""
    return f"{mark}{text}{BEST if is_best else ''}"


def document(name: str, rows: list[Row], together: bool) -> str:
    """The text of sweep.md."""
    return f"# {name}\n\n{_done(rows)}\n\n{table(rows)}\n\n{notes_of(rows, together)}\n"


def screen(rows: list[Row], together: bool) -> str:
    """The same for a terminal."""
    notes = folded(notes_of(rows, together), columns_here())
    return f"{_done(rows)}\n\n{plain_table(rows)}\n\n{notes}\n"


def _done(rows: list[Row]) -> str:
    return f"{sum(row.state == DONE for row in rows)} of {len(rows)} variants are done."


def notes_of(rows: list[Row], together: bool) -> str:
    """What stands below the table, a line for each."""
    disturbed = any(row.results and row.results.disturbed for row in rows)
    sorting, costs = NOTES
    notes = [sorting, *_metrics_note(rows), costs]
    return "\n".join(
        [*notes, *([_DISTURBED_NOTE] if disturbed else []), *([TOGETHER] if together else [])]
    )


def _metrics_note(rows: list[Row]) -> list[str]:
    """What the metrics in the table are, with their units."""
    found = {name for row in rows if row.results for name in row.results.values}
    told = []
    for value in metric_columns():
        if value.brief and value.name in found:
            short = [value.short_heading] if value.short_heading != value.heading else []
            aside = ", ".join([*short, *([value.unit] if value.unit else [])])
            told.append(f"{value.heading} ({aside})" if aside else value.heading)
    if not told:
        return []
    return [f"Of the program against the float32 model: {', '.join(told)}."]
