"""report.html of a sweep: which variants are worth choosing from, as a chart and a table."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from llm_export.bundle.roles import ROLES
from llm_export.bundle.verdict import MEAN_KL
from llm_export.files import finite
from llm_export.report.page.assets import fill
from llm_export.sweep.columns import Column, shown_columns
from llm_export.sweep.front import on_front
from llm_export.sweep.measure import DECODE, SIZE
from llm_export.sweep.state import DONE, Row
from llm_export.sweep.table import best_of, cell_text, notes_of, ordered, short_keys

_SCRIPTS = ("page.js", "sortable.js", "scatter.js", "start_sweep.js")


def sweep_page(
    folder: Path, rows: list[Row], *, state: str, together: bool, place: Path | None = None
) -> str:
    """The text of the page.

    Args:
        place: folder of the page, from which links to the variants' reports start; None is
            ``folder``.
        state: running, done, failed or interrupted.
        together: variants shared a machine while they ran.
    """
    rows = ordered(rows)
    shown = shown_columns(rows)
    best = [best_of(column, rows) for column in shown]
    front = on_front([_ranks(row) for row in rows])
    numbers = [column.measure for column in shown if column.measure]
    points = [
        {
            "name": row.name,
            "href": _link(place or folder, row),
            "values": [one.get(row.results) for one in numbers],
            "texts": [one.show(row.results) for one in numbers],
        }
        for row in rows
        if row.results
    ]
    axes = [
        {"title": one.value.full_heading, "higher": one.value.higher_is_better} for one in numbers
    ]
    keys = list(rows[0].swept) if rows else []
    return fill(
        "sweep.html.jinja", _SCRIPTS, {"axes": axes, "points": points},
        name=folder.resolve().name,
        state=state,
        done=sum(row.state == DONE for row in rows),
        counts=Counter(row.state for row in rows),
        head=[*(short_keys(keys) or ["variant"]), *(column.title for column in shown)],
        words=len(keys) or 1,
        front=[rows[i].name for i, here in enumerate(front) if here],
        lines=[
            {
                "cells": [row.swept[key] for key in keys] or [row.name],
                "values": [_value(c, row, of) for c, of in zip(shown, best, strict=True)],
                "row": row,
                "href": _link(place or folder, row),
                "front": here,
            }
            for row, here in zip(rows, front, strict=True)
        ],
        notes=notes_of(rows, together).splitlines(),
    )  # fmt: skip


def _ranks(row: Row) -> list[float | None]:
    """Size, quality and speed."""
    found = row.results
    if found is None:
        return [None] * 3
    ranks = [SIZE.rank(found), found.values.get(MEAN_KL), DECODE.rank(found)]
    return [finite(rank) for rank in ranks]


def _value(column: Column, row: Row, best: float | None) -> dict[str, object]:
    number = column.measure.get(row.results) if column.measure and row.results else None
    text = cell_text(column, row, best)
    return {"text": text, "number": finite(number), "words": column.measure is None}


def _link(folder: Path, row: Row) -> str:
    """To a variant's report, relative to the sweep's; '' where it has none."""
    page = Path(row.bundle) / ROLES["page"]
    if row.state != DONE or not page.is_file():
        return ""
    return quote(Path(os.path.relpath(page, folder)).as_posix())
