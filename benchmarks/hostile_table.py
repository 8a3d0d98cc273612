"""The table of hostile inputs in docs/robustness.md, from counts that tests/hostile made.

LLM_EXPORT_HOSTILE_RECORD=counts.json pytest -m "" tests/hostile   counts
python benchmarks/hostile_table.py counts.json                     keeps them and writes the table
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

COUNTS = Path(__file__).with_name("hostile_counts.json")
PAGE = Path(__file__).parents[1] / "docs" / "robustness.md"
BEGIN, END = "<!-- counts -->\n", "<!-- end of counts -->\n"

Counts = Mapping[str, Mapping[str, int]]


def table(counts: Counts) -> str:
    """A row for each group of kinds: how many were tried, held and refused, and how many did
    neither."""
    lines = ["| input | kinds | tried | worked all the same | refused with a reason | neither |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    groups: dict[str, list[Mapping[str, int]]] = {}
    for kind, found in counts.items():
        groups.setdefault(kind.partition(": ")[0], []).append(found)
    lines += [_row(name, groups[name]) for name in sorted(groups)]
    return "\n".join([*lines, _row("**all**", list(counts.values()))]) + "\n"


def _row(name: str, kinds: Sequence[Mapping[str, int]]) -> str:
    tried, held, refused = (
        sum(found.get(key, 0) for found in kinds) for key in ("tried", "held", "refused")
    )
    left = tried - held - refused
    return f"| {name} | {len(kinds)} | {tried:,} | {held:,} | {refused:,} | {left:,} |"


def page(text: str, counts: Counts) -> str:
    """The text of the page with its table replaced."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(counts) + END + rest.split(END)[1]


def main() -> None:
    if len(sys.argv) > 1:
        counts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        text = json.dumps(counts, indent=1, sort_keys=True) + "\n"
        COUNTS.write_text(text, encoding="utf-8")
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), counts), encoding="utf-8")


if __name__ == "__main__":
    main()
