"""A comparison as lines of text, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from llm_export.compare.comparison import Comparison
from llm_export.compare.figure import GROUPS, Figure, number, part
from llm_export.compare.gates import FAILED, PASSED, Outcome
from llm_export.compare.row import Row
from llm_export.compare.sentence import sentence
from llm_export.compare.significance import BETWEEN_PROCESSES
from llm_export.config.difference import ABSENT
from llm_export.folding import folded
from runtime_py.benchmark.words import aligned

Table = list[tuple[str, ...]]
MODULES = 8
"""Modules in a table, those that differ most."""
_NUMBERS = ("A", "B", "change")
"""Heads of columns that are aligned to the right."""
_LONGEST = 60
"""Characters of a value of a recipe."""


def text_lines(found: Comparison, *, all_rows: bool = False, columns: int = 100) -> Iterator[str]:
    """For a terminal, to whose columns sentences are folded."""
    yield from sides(found)
    yield from ("", folded(sentence(found), columns, 2))
    for title, table in sections(found, all_rows=all_rows):
        yield from ("", title)
        left = [at for at, name in enumerate(table[0]) if name not in _NUMBERS]
        yield from aligned(table, left)
    yield from ("", *(folded(line, columns, 2) for line in notes(found)))


def markdown_lines(found: Comparison, *, all_rows: bool = False) -> Iterator[str]:
    """For an issue, a pull request or a report."""
    yield from (f"**{_escaped(sentence(found))}**", "")
    yield from (f"- {_escaped(line)}" for line in sides(found))
    for title, (head, *rows) in sections(found, all_rows=all_rows):
        yield from ("", f"### {title}", "", _markdown(head))
        yield "|" + "|".join("---:" if name in _NUMBERS else "---" for name in head) + "|"
        yield from map(_markdown, rows)
    yield ""
    yield from (f"{_escaped(line)}  " for line in notes(found))


def sides(found: Comparison) -> list[str]:
    """Which is A and which is B."""
    rows = [("A (base)", found.base), ("B", found.new)]
    lines = [
        f"{name:<8}  {side.path}" + (f" ({side.name})" if side.name not in side.path else "")
        for name, side in rows
    ]
    if found.base.rounds and found.new.rounds:
        lines.append(f"speed and memory: measured anew in {found.base.rounds} rounds, in turns")
    return lines


def sections(found: Comparison, *, all_rows: bool = False) -> Iterator[tuple[str, Table]]:
    """Title and table, with its head; sections without a row are left out."""
    for group in GROUPS:
        rows = [_cells(row) for row in found.of(group, all_rows=all_rows)]
        if rows:
            yield group, [("", "A", "B", "change", "finding"), *rows]
    modules = module_rows(found)
    if modules:
        yield (
            "weights by module, those that differ most",
            [("module", "A", "B", "change"), *modules],
        )
    if found.recipe:
        keys = [(d.key, _said(d.left), _said(d.right)) for d in found.recipe]
        yield "recipe", [("key", "in A", "in B"), *keys]
    for title, differing in (("versions", found.versions), ("machine", found.machine)):
        if differing:
            cells = [(k, _plain(a), _plain(b)) for k, (a, b) in differing.items()]
            yield title, [("", "in A", "in B"), *cells]


def module_rows(found: Comparison) -> Table:
    rows = [r for r in found.rows.values() if r.quantity.name.startswith("size.module")]
    differing = [(abs(_value(r.new) - _value(r.base)), r) for r in rows]
    differing = sorted((x for x in differing if x[0]), key=lambda x: -x[0])
    return [
        (r.quantity.shown.title.removeprefix("weights of "), *_cells(r)[1:4])
        for _, r in differing[:MODULES]
    ]


def notes(found: Comparison) -> list[str]:
    """What the findings mean and rest on."""
    lines: list[str] = []
    if found.recipe is None:
        lines.append("recipe: not known of both")
    elif not found.recipe:
        lines.append("recipe: no difference")
    for name, side in (("A", found.base), ("B", found.new)):
        said = part(side.benchmark, "conditions")
        if said.get("disturbed"):
            busy = number(said.get("other_cpus")) or 0.0
            effect = (
                "which widens the intervals" if side.rounds else "measure again on an idle machine"
            )
            lines.append(f"{name}: other processes kept {busy:.1f} CPUs busy; {effect}")
    lines.append(
        f"significant: 95 % confidence over all {found.tested} comparisons together (Holm)"
        if found.tested else "nothing was tested: neither side has repetitions or intervals"
    )  # fmt: skip
    if not (found.base.rounds and found.new.rounds) and found.base.benchmark:
        lines.append(
            f"speeds of two separate measurements: a difference within {BETWEEN_PROCESSES:.0%} is "
            "no finding; --measure compares in turns"
        )
    return lines


def change(row: Row) -> str:
    """Of B against A: +12.0% (+9.1% to +15.0%)."""
    if row.ratio is None:
        return ""
    between = row.interval
    interval = f" ({_signed(between.low)} to {_signed(between.high)})" if between else ""
    return f"{_signed(row.ratio)}{interval}"


def _cells(row: Row) -> tuple[str, ...]:
    shown = row.quantity.shown
    unit = (
        "" if shown.unit in ("", "share") else f", {'MB' if shown.unit == 'bytes' else shown.unit}"
    )
    return (f"{shown.heading}{unit}", _cell(row, row.base), _cell(row, row.new), change(row),
            row.finding)  # fmt: skip


def _cell(row: Row, figure: Figure | None) -> str:
    if figure is None:
        return "–"
    shown = row.quantity.shown
    if shown.unit == "bytes":
        return f"{figure.value / 1e6:,.{1 if figure.value >= 1e7 else 3}f}"
    between = figure.interval
    beside = f" ({shown.text(between.low)} to {shown.text(between.high)})" if between else ""
    return f"{shown.text(figure.value)}{beside}"


def _signed(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio >= 3 or ratio <= 1 / 3 else f"{ratio - 1:+.1%}"


def _value(figure: Figure | None) -> float:
    return 0.0 if figure is None else figure.value


def _said(value: object) -> str:
    text = "-" if value is ABSENT else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _plain(value: object) -> str:
    return "-" if value is None else str(value)


def _markdown(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Names of bundles and modules are not Markdown."""
    for sign in "\\|<*_`":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def outcome_lines(
    gates: Sequence[Outcome], rules: Sequence[Outcome], *, markdown: bool = False
) -> Iterator[str]:
    """What the gates say, then the rules that do not hold or are enforced."""
    told = [o for o in rules if o.state == FAILED or o.fails]
    for outcome in (*gates, *told):
        if outcome.state == PASSED:
            state = "passed"
        elif outcome.fails:
            state = "FAILED"
        else:
            state = "violated" if outcome.state == FAILED else "skipped"
        name = outcome.gate.title or f"fail if {outcome.gate.condition.text}"
        text = f"{name}: {outcome.found}"
        if outcome is (*gates, *told)[0]:
            yield ""
        yield f"- **{state}** {_escaped(text)}" if markdown else f"{state:<8}  {text}"
