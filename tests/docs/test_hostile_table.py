"""Else: python benchmarks/hostile_table.py"""

import json

from benchmarks import hostile_table

COUNTS = json.loads(hostile_table.COUNTS.read_text(encoding="utf-8"))


def test_the_page_has_the_table_of_the_counts() -> None:
    text = hostile_table.PAGE.read_text(encoding="utf-8")
    assert hostile_table.page(text, COUNTS) == text


def test_everything_worked_or_was_refused() -> None:
    for kind, found in COUNTS.items():
        assert found["tried"] == found["held"] + found["refused"] > 0, kind


def test_what_did_neither_has_a_column() -> None:
    counts = {"b: x": {"tried": 1_234, "held": 1, "refused": 1_230}, "b: y": {"tried": 1}}
    rows = hostile_table.table(counts).splitlines()
    assert rows[2] == "| b | 2 | 1,235 | 1 | 1,230 | 4 |"
    assert rows[3] == "| **all** | 2 | 1,235 | 1 | 1,230 | 4 |"
