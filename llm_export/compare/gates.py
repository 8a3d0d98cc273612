"""Gates: conditions under which a comparison fails."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from llm_export.compare.comparison import Comparison
from llm_export.compare.condition import BASE, Condition, MissingError, UndecidedError
from llm_export.compare.expression import Names, parse
from llm_export.compare.figure import Figure, Quantity
from llm_export.compare.quantities import SHORT, known_quantities
from llm_export.compare.row import Row

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"


@dataclass(frozen=True)
class Gate:
    """
    Attributes:
        condition: under which it fails.
        title: what a rule of this program says; empty for a gate of the user.
    """

    condition: Condition
    title: str = ""

    @property
    def name(self) -> str:
        return self.title or self.condition.text


@dataclass(frozen=True)
class Outcome:
    """
    Attributes:
        state: passed, failed or undecided.
        found: the numbers behind it, or why it is undecided.
        enforced: whether failing it fails the comparison.
    """

    gate: Gate
    state: str
    found: str
    enforced: bool = True

    @property
    def fails(self) -> bool:
        return self.enforced and self.state != PASSED

    def lenient(self) -> Outcome:
        """The same, failing nothing while it is undecided."""
        return replace(self, enforced=False) if self.state == UNDECIDED else self


def names_of(known: Collection[Quantity]) -> Names:
    """Of all quantities that the two sides have or could have."""
    named = {q.name: q for q in [*known_quantities().values(), *known]}
    directed = {n for n, q in named.items() if q.shown.higher_is_better is not None}
    return Names(named, SHORT, directed)


def gates_of(conditions: Sequence[str], found: Comparison) -> list[Gate]:
    """
    Raises:
        RecipeError: one is no condition, or names what there is not.
    """
    names = names_of([row.quantity for row in found.rows.values()])
    return [Gate(parse(text, names)) for text in conditions]


def decide(gate: Gate, found: Comparison, *, enforced: bool = True) -> Outcome:
    values = _Values(found)
    try:
        holds = gate.condition.holds(values)
    except (MissingError, UndecidedError) as error:
        return Outcome(gate, UNDECIDED, str(error), enforced)
    return Outcome(gate, FAILED if holds else PASSED, _numbers(gate, found), enforced)


class _Values:
    """The ``Values`` of a comparison."""

    def __init__(self, found: Comparison) -> None:
        self._found = found

    def value(self, name: str) -> float:
        row = self._found.row(name)
        return self._present(name, "B", None if row is None else row.new).value

    def base(self, name: str) -> float:
        row = self._found.row(name)
        return self._present(name, "A", None if row is None else row.base).value

    def significant(self, name: str) -> bool:
        row = self._row(name)
        if row.significant is None:
            raise UndecidedError(f"whether {name} differs is {row.obstacle}")
        return row.significant

    def worse_by(self, name: str) -> float:
        row = self._row(name)
        if row.worse_by is None:
            raise UndecidedError(f"{name} has no ratio: a value is not positive")
        return row.worse_by

    def _row(self, name: str) -> Row:
        self.value(name)
        self.base(name)
        row = self._found.row(name)
        assert row is not None
        return row

    def _present(self, name: str, letter: str, figure: Figure | None) -> Figure:
        if figure is None:
            raise MissingError(f"{name} was not measured in {letter}{_remedy(name)}")
        return figure


def _remedy(name: str) -> str:
    first = re.split(r"[.\[]", name)[0]
    how = {
        "verdict": "verify.enabled=true", "quality": "verify.enabled=true",
        "lowering": "verify.enabled=true", "evaluation": "evaluate=quick", "size": "",
    }.get(first, "--measure, or benchmark=quick")  # fmt: skip
    return f" ({how})" if how else ""


def _numbers(gate: Gate, found: Comparison) -> str:
    """What it read: decode.median 61.2 tokens/s, base.decode.median 68.4 tokens/s."""
    parts = []
    for name in gate.condition.names:
        row = found.row(name.removeprefix(f"{BASE}."))
        figure = row and (row.base if name.startswith(f"{BASE}.") else row.new)
        if figure:
            parts.append(f"{name} {figure.quantity.text(figure.value)}")
    for name in dict.fromkeys(n.removeprefix(f"{BASE}.") for n in gate.condition.names):
        row = found.row(name)
        if row and row.new and row.base and row.method and row.finding:
            parts.append(row.finding)
    return ", ".join(parts)
