"""Compare two sides: every quantity of both, their recipes, versions and machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from llm_export.compare.figure import GROUPS, Figure
from llm_export.compare.quality_figures import word_of
from llm_export.compare.quantities import figures_of
from llm_export.compare.row import EXACT, INTERVALS, PAIRED, WELCH, Row
from llm_export.compare.side import Side
from llm_export.compare.significance import holm, p_of_intervals, p_of_ratio, sampled_ratio
from llm_export.config.difference import Difference, plain_differences

MACHINE = ("cpu", "logical_cpus", "memory_bytes", "system", "architecture", "python")
_LONGEST = 50
"""Characters of a condition that is told."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """
    Attributes:
        base, new: A and B.
        rows: name of a quantity -> what both have of it.
        recipe: keys that differ; None where one side has no recipe.
        versions, machine: package, or fact of the machine -> both values where they differ.
        verdicts: the words of both verdicts; None where nothing was verified.
        tested: rows whose difference was tested at once.
    """

    base: Side
    new: Side
    rows: Mapping[str, Row]
    recipe: tuple[Difference, ...] | None
    versions: Mapping[str, tuple[object, object]]
    machine: Mapping[str, tuple[object, object]]
    verdicts: tuple[str | None, str | None]
    tested: int

    def row(self, name: str) -> Row | None:
        return self.rows.get(name)

    def of(self, group: str, *, all_rows: bool = False) -> list[Row]:
        """Rows of a group, without those that tables leave out unless ``all_rows``."""
        found = [row for row in self.rows.values() if row.quantity.group == group]
        return [row for row in found if all_rows or row.quantity.shown.brief]


def compare_sides(base: Side, new: Side) -> Comparison:
    """What ``new`` is beside ``base``."""
    paired = min(base.rounds, new.rounds) > 0
    one, other = figures_of(base), figures_of(new)
    rows = {
        name: _row(one.get(name), other.get(name), paired=paired)
        for name in _ordered({**one, **other})
    }
    p_values = {name: row.p_value for name, row in rows.items() if row.p_value is not None}
    twins = {n: t for n in p_values if (t := twin_of(n)) != n and t in p_values}
    adjusted = holm({name: value for name, value in p_values.items() if name not in twins})
    adjusted |= {name: adjusted[twin] for name, twin in twins.items()}
    return Comparison(
        base=base, new=new,
        rows={name: replace(row, adjusted=adjusted.get(name)) for name, row in rows.items()},
        recipe=None if base.recipe is None or new.recipe is None
        else tuple(plain_differences(base.recipe, new.recipe)),
        versions=_differing(base.versions, new.versions),
        machine={
            key: (base.machine[key], new.machine[key])
            for key in MACHINE
            if key in base.machine and key in new.machine and base.machine[key] != new.machine[key]
        },
        verdicts=(word_of(base), word_of(new)),
        tested=len(adjusted) - len(twins),
    )  # fmt: skip


def twin_of(name: str) -> str:
    """The quantity that is of the same samples, so that both are one comparison: the time to the
    first token is the length of the prompt over the speed of prefill."""
    if name.startswith("ttft."):
        return name.replace("ttft", "prefill", 1)
    return f"{name.removesuffix('ttft')}prefill" if name.endswith("].ttft") else name


def _ordered(figures: Mapping[str, Figure]) -> list[str]:
    """By group."""
    return sorted(figures, key=lambda name: GROUPS.index(figures[name].quantity.group))


def _row(base: Figure | None, new: Figure | None, *, paired: bool) -> Row:
    known = new or base
    assert known is not None
    row = Row(quantity=known.quantity, base=base, new=new)
    if base is None or new is None:
        return row
    row = replace(
        row, ratio=_ratio_of(new.value, base.value), not_comparable=tuple(_conditions(base, new)),
        uncertain=() if paired else tuple(_doubts(base, new)),
    )  # fmt: skip
    if base.exact and new.exact:
        return replace(row, method=EXACT)
    found = sampled_ratio(new, base, paired=paired)
    if found is not None:
        row = replace(row, ratio=found.value, interval=found.interval)
        p_value = p_of_ratio(found, paired=paired)
        if p_value is None:
            return replace(row, uncertain=(*row.uncertain, "a single repetition"))
        return replace(row, p_value=p_value, method=PAIRED if paired else WELCH)
    p_value = p_of_intervals(new, base)
    return row if p_value is None else replace(row, p_value=p_value, method=INTERVALS)


def _ratio_of(new: float, base: float) -> float | None:
    return new / base if new > 0 and base > 0 else None


def _conditions(base: Figure, new: Figure) -> Iterator[str]:
    for key, value in base.conditions.items():
        other = new.conditions.get(key)
        if value is not None and other is not None and value != other:
            texts = str(other), str(value)
            name = key.replace("_", " ")
            short = max(map(len, texts)) <= _LONGEST
            yield f"{name} {texts[0]} against {texts[1]}" if short else f"other {name}"


def _doubts(base: Figure, new: Figure) -> Iterator[str]:
    if base.doubt and base.doubt == new.doubt:
        yield f"A and B {base.doubt}"
        return
    yield from (f"{name} {f.doubt}" for name, f in (("A", base), ("B", new)) if f.doubt)


def _differing(
    base: Mapping[str, object], new: Mapping[str, object]
) -> dict[str, tuple[object, object]]:
    """What both tell, and tell differently; a package of one alone counts."""
    if not base or not new:
        return {}
    return {
        key: (base.get(key), new.get(key))
        for key in {**base, **new}
        if base.get(key) != new.get(key)
    }
