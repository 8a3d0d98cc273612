"""The figures of a task that has its own: verification and speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_export.bundle.measures import LOWERING, Measure
from llm_export.json_data import from_json
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Table

_OF = {LOWERING: "the exported model"}


def proof_table(found: Evidence) -> Table | None:
    """A row for each figure of verification; None where the bundle has none."""
    return _table(_read(found.proof.get("measures")), "compared with")


def speed_table(found: Evidence) -> Table | None:
    """The same of the benchmark."""
    return _table(_read(found.speed), "")


def _read(listed: Any) -> list[Measure]:
    return [from_json(Measure, each) for each in listed or []]


def _table(measures: Sequence[Measure], column: str) -> Table | None:
    if not measures:
        return None
    if not column:
        return Table(("figure", "value"), [[m.title, m.text()] for m in measures])
    rows = [[m.title, m.text(), _OF.get(m.of, "the float32 model")] for m in measures]
    return Table(("figure", "value", column), rows, last_words=True)
