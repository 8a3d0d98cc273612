"""The bytes of a program's weights by quantization scheme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Bar, Cell, Table, bytes_text, share_of

FLOAT = "not quantized"
_NAMED = 7
"""Schemes with a colour of their own."""


@dataclass
class Group:
    """Matrices of one scheme.

    Attributes:
        noise: signal-to-noise ratio of each, in dB, weighted equally.
    """

    scheme: str
    bytes: int = 0
    matrices: int = 0
    elements: int = 0
    noise: list[float] = field(default_factory=list)


def matrices(found: Evidence) -> dict[str, Mapping[str, Any]]:
    """Module -> what the quantize stage says of its matrix."""
    listed = found.facts("quantize").get("quantization") or []
    return {str(each["name"]): each for each in listed}


def schemes(found: Evidence) -> dict[str, str]:
    """Module -> scheme of its weights, of those that are quantized."""
    return {name: str(each["scheme"]) for name, each in matrices(found).items()}


def by_scheme(found: Evidence) -> list[Group]:
    """Largest first; what no matrix holds is ``FLOAT``. Shared weights count once."""
    known = matrices(found)
    sizes: Mapping[str, int] = (
        found.program_map.weights if found.program_map
        else {name: each["bytes"] for name, each in known.items()}
    )  # fmt: skip
    groups: dict[str, Group] = {}
    for name, size in sizes.items():
        each = known.get(name)
        scheme = str(each["scheme"]) if each else FLOAT
        group = groups.setdefault(scheme, Group(scheme))
        group.bytes += size
        if each is not None:
            group.matrices += 1
            group.elements += _elements(each)
            if each.get("sqnr_db") is not None:
                group.noise.append(float(each["sqnr_db"]))
    return sorted(groups.values(), key=lambda group: -group.bytes)


def _elements(each: Mapping[str, Any]) -> int:
    rows, columns = each["shape"]
    return int(rows) * int(columns)


def scheme_table(groups: Iterable[Group]) -> Table:
    groups = list(groups)
    whole = sum(group.bytes for group in groups)
    rows: list[list[Cell]] = [
        [
            group.scheme,
            Bar(f"{share_of(group.bytes, whole):.1%}", share_of(group.bytes, whole), tone=tone),
            bytes_text(group.bytes),
            f"{group.matrices:,}" if group.matrices else "–",
            f"{8 * group.bytes / group.elements:.2f}" if group.elements else "–",
            f"{min(group.noise):.1f}" if group.noise else "–",
        ]
        for tone, group in zip(tones(g.scheme for g in groups), groups, strict=True)
    ]  # fmt: skip
    return Table(
        ["scheme", "share of the weights", "size", "matrices", "bits per weight",
         "lowest SQNR (dB)"], rows,
    )  # fmt: skip


def tones(schemes: Iterable[str]) -> list[int]:
    """A colour for each scheme; ``FLOAT`` has grey."""
    made, used = [], 0
    for scheme in schemes:
        used += scheme != FLOAT
        made.append(8 if scheme == FLOAT or used > _NAMED else used)
    return made
