"""Which operators went to which backend, and which stayed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.profile.profile_map import Operation, ProfileMap
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Bar, Cell, Table, bytes_text, share_of

KERNELS = "kernels of the runtime"
"""Where operators run that no backend took."""
_LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_PLACES = 3
"""Modules that a row names."""


@dataclass
class Place:
    """A backend, or ``KERNELS``.

    Attributes:
        operators: operator -> calls.
        modules: operator -> modules that call it.
        bytes: of the weights that its operators read; shared ones count for each.
    """

    name: str
    subgraphs: int = 0
    operators: Counter[str] = field(default_factory=Counter)
    modules: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    bytes: int = 0

    def add(self, one: Operation) -> None:
        self.operators[one.operator] += 1
        self.modules[one.operator][_LAYER.sub("*", one.module) or "model"] += 1
        self.bytes += one.bytes


def places(found: Evidence) -> list[Place]:
    """Those of the program, backends first. An older bundle's record has counts only."""
    if found.program_map is not None:
        return _of_map(found.program_map)
    said: Mapping[str, object] = found.facts("lower").get("delegation") or {}
    if not said:
        return []
    made = [
        Place(name, int(count))
        for name, count in dict(said.get("subgraphs_by_backend") or {}).items()  # type: ignore[call-overload]
    ]
    return [*made, Place(KERNELS, operators=Counter(said.get("outside") or {}))]  # type: ignore[call-overload]


def _of_map(program: ProfileMap) -> list[Place]:
    made: dict[str, Place] = {}
    kernels = Place(KERNELS)
    for calls in program.methods.values():
        for call in calls.values():
            if not call.inside:
                kernels.add(call.own)
                continue
            place = made.setdefault(call.own.operator, Place(call.own.operator))
            place.subgraphs += 1
            for one in call.inside:
                place.add(one)
    return [*made.values(), kernels]


def overview(found: list[Place]) -> Table:
    """A row for each place."""
    whole = sum(sum(place.operators.values()) for place in found)
    rows: list[list[Cell]] = []
    for tone, place in enumerate(found, start=1):
        count = sum(place.operators.values())
        share = share_of(count, whole)
        rows.append([
            place.name,
            Bar(f"{count:,}", share, tone=8 if place.name == KERNELS else tone) if count else "–",
            f"{place.subgraphs:,}" if place.subgraphs else "–",
            bytes_text(place.bytes) if place.bytes else "–",
        ])  # fmt: skip
    return Table(["runs on", "operator calls", "subgraphs", "weights that it reads"], rows)


def operators(found: list[Place]) -> Table:
    """A row for each operator and place, those that stayed first."""
    rows: list[list[Cell]] = []
    for place in sorted(found, key=lambda place: place.name != KERNELS):
        for name, count in place.operators.most_common():
            where = place.modules.get(name) or Counter()
            named = [module for module, _ in where.most_common(_PLACES)]
            more = len(where) - len(named)
            told = ", ".join(named) + (f" and {more} more" if more > 0 else "")
            rows.append([name, place.name, told, f"{count:,}"])
    return Table(["operator", "runs on", "in", "calls"], rows, words=3)
