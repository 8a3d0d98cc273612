"""Rules that every comparison is held to: B must not be worse than A.

They are gates like those of a user, of the quantities that both sides have. Speed and quality must
be worse by more than chance; what is counted, or measured once, by more than a small share.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.compare.comparison import Comparison
from llm_export.compare.expression import parse
from llm_export.compare.figure import EVALUATION, QUALITY, SPEED
from llm_export.compare.gates import Gate, names_of
from llm_export.compare.row import EXACT, Row

MORE_BYTES, MORE_MEMORY = "1%", "5%"
WORSE = "worse_by({name}) > 0 and significant({name})"
FIXED = (
    ("the verdict is no worse", "verdict.level", "verdict.level > base"),
    ("decode is no slower", "decode.median", WORSE),
    ("prefill is no slower", "prefill.median", WORSE),
    (f"the program is at most {MORE_BYTES} larger", "size.program",
     f"worse_by({{name}}) > {MORE_BYTES}"),
    (f"peak memory is at most {MORE_MEMORY} higher", "memory.peak",
     f"worse_by({{name}}) > {MORE_MEMORY}"),
)  # fmt: skip
"""What must hold, the quantity, and the condition under which it does not."""


def rules_for(found: Comparison) -> list[Gate]:
    """Those whose quantities both sides have."""
    names = names_of([row.quantity for row in found.rows.values()])
    return [
        Gate(parse(condition.format(name=name), names), title)
        for title, name, condition in [*FIXED, *_of_tests(found), *_of_quality(found)]
        if (row := found.row(name)) is not None and row.base is not None and row.new is not None
    ]


def _of_tests(found: Comparison) -> Iterator[tuple[str, str, str]]:
    """Decoding and prefill at other lengths, depths and threads."""
    for row in found.of(SPEED):
        name = row.quantity.name
        if name.startswith("tests") and name.endswith((".decode", ".prefill")):
            yield f"{row.quantity.shown.heading}, is no slower", name, WORSE


def _of_quality(found: Comparison) -> Iterator[tuple[str, str, str]]:
    """Every metric whose difference can be tested, those of plugins and of evaluations too."""
    for group in (QUALITY, EVALUATION):
        for row in found.of(group):
            if _testable(row):
                yield f"{row.quantity.shown.heading} is no worse", row.quantity.name, WORSE


def _testable(row: Row) -> bool:
    better = row.quantity.shown.higher_is_better
    return bool(row.method) and row.method != EXACT and better is not None
