"""What the table of a sweep says of variants that are not done."""

from __future__ import annotations

from llm_export.sweep.state import REFUSED, Failure, Row
from llm_export.sweep.table import plain_table


def row(name: str, line: str | None) -> Row:
    made = Row(name, [], {"quant": name}, "")
    if line is not None:
        made.state, made.error = REFUSED, Failure(line, line, 2, "RecipeError")
    return made


def test_one_cause_is_told_once_with_its_variants() -> None:
    rows = [row("a", "no kernel"), row("b", None), row("c", "no memory"), row("d", "no kernel")]
    said = plain_table(rows)
    assert said.endswith("\n\na, d: no kernel\nc: no memory")
