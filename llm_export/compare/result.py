"""A comparison with its gates, as ``llm-export compare`` gives it. Its JSON follows
compare.schema.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_export.compare.comparison import Comparison
from llm_export.compare.figure import Figure
from llm_export.compare.gates import Outcome, decide, gates_of
from llm_export.compare.row import Row
from llm_export.compare.rules import rules_for
from llm_export.compare.sentence import sentence
from llm_export.config.difference import ABSENT, Difference
from llm_export.metrics.interval import Interval

FORMAT = 1
"""Version of compare.schema.json."""


@dataclass(frozen=True)
class CompareResult:
    """
    Attributes:
        gates: outcomes of the user's gates.
        rules: outcomes of this program's own, enforced or not.
    """

    comparison: Comparison
    gates: tuple[Outcome, ...]
    rules: tuple[Outcome, ...]

    @property
    def failed(self) -> bool:
        """Whether a gate, or a rule that is enforced, does not hold."""
        return any(outcome.fails for outcome in (*self.gates, *self.rules))

    @property
    def summary(self) -> str:
        return sentence(self.comparison)

    def as_dict(self) -> dict[str, object]:
        """The JSON object of ``--json``."""
        found = self.comparison
        return {
            "format": FORMAT,
            "summary": self.summary,
            "base": {"path": found.base.path, "name": found.base.name},
            "new": {"path": found.new.path, "name": found.new.name},
            "in_turns": min(found.base.rounds, found.new.rounds),
            "verdicts": _both(found.verdicts),
            "quantities": [_row(row) for row in found.rows.values()],
            "tested": found.tested,
            "recipe": None if found.recipe is None else [_key(d) for d in found.recipe],
            "versions": {name: _both(values) for name, values in found.versions.items()},
            "machine": {name: _both(values) for name, values in found.machine.items()},
            "gates": [_outcome(outcome) for outcome in self.gates],
            "rules": [_outcome(outcome) for outcome in self.rules],
            "failed": self.failed,
        }


def judged(
    found: Comparison,
    conditions: Sequence[str] = (),
    *,
    allow_missing: bool = False,
    fail_on_regression: bool = False,
) -> CompareResult:
    """The comparison with what its gates and rules say.

    Args:
        conditions: under each of which the comparison fails.
        allow_missing: a gate or rule that is undecided does not fail it.
        fail_on_regression: a rule that does not hold fails it.

    Raises:
        RecipeError: one is no condition, or names what there is not.
    """
    gates = [decide(gate, found) for gate in gates_of(conditions, found)]
    rules = [decide(gate, found, enforced=fail_on_regression) for gate in rules_for(found)]
    if allow_missing:
        gates, rules = ([o.lenient() for o in some] for some in (gates, rules))
    return CompareResult(found, tuple(gates), tuple(rules))


def _both(values: tuple[object, object]) -> dict[str, object]:
    return {"base": values[0], "new": values[1]}


def _key(difference: Difference) -> dict[str, object]:
    sides = {"base": difference.left, "new": difference.right}
    return {"key": difference.key, **{k: v for k, v in sides.items() if v is not ABSENT}}


def _row(row: Row) -> dict[str, object]:
    quantity, shown = row.quantity, row.quantity.shown
    return {
        "name": quantity.name, "group": quantity.group, "title": shown.heading, "unit": shown.unit,
        "higher_is_better": shown.higher_is_better, "base": _figure(row.base),
        "new": _figure(row.new), "ratio": row.ratio, "interval": _interval(row.interval),
        "method": row.method, "p_value": row.p_value, "adjusted_p_value": row.adjusted,
        "significant": row.significant, "direction": row.direction, "finding": row.finding,
        "not_comparable": list(row.not_comparable), "uncertain": list(row.uncertain),
    }  # fmt: skip


def _figure(figure: Figure | None) -> Mapping[str, object] | None:
    if figure is None:
        return None
    return {
        "value": figure.value, "interval": _interval(figure.interval),
        "samples": list(figure.samples),
    }  # fmt: skip


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else {"low": found.low, "high": found.high}


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "name": outcome.gate.name, "fails_if": outcome.gate.condition.text,
        "state": outcome.state, "enforced": outcome.enforced, "found": outcome.found,
    }  # fmt: skip
