"""A number that is known of a bundle, and the quantity that it is a value of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_export.metrics.interval import Interval
from llm_export.metrics.value import Value

SPEED, MEMORY, SIZE, QUALITY, LOWERING, EVALUATION = GROUPS = (
    "speed", "memory", "size", "quality", "lowering", "evaluation",
)  # fmt: skip
"""Groups of quantities, in the order of a table."""


@dataclass(frozen=True)
class Quantity:
    """
    Attributes:
        name: as gates name it, such as ``decode.median`` or ``size.scheme['8da8w']``.
        group: one of ``GROUPS``.
        shown: how it is called and written; its ``brief`` says whether a table has it.
    """

    name: str
    group: str
    shown: Value

    def text(self, value: float | None) -> str:
        """The number, with its unit."""
        unit = "" if self.shown.unit in ("", "share") or value is None else f" {self.shown.unit}"
        return f"{self.shown.text(value)}{unit}"


@dataclass(frozen=True)
class Figure:
    """
    Attributes:
        interval: 95 % confidence interval of a mean; None: not known.
        samples: repetitions behind the value; empty: not kept.
        exact: whether it is counted rather than measured.
        conditions: under which it was measured: name -> value. Figures of other conditions cannot
            be compared.
        doubt: why the measurement is doubtful; empty: it is not.
    """

    quantity: Quantity
    value: float
    interval: Interval | None = None
    samples: tuple[float, ...] = ()
    exact: bool = False
    conditions: Mapping[str, object] = field(default_factory=dict)
    doubt: str = ""


def entry(prefix: str, key: str) -> str:
    """The name of one of several: ``prefix.key``, or ``prefix['key']`` where that is no name."""
    return f"{prefix}.{key}" if key.isidentifier() else f"{prefix}[{key!r}]"


def number(value: object) -> float | None:
    """The number of a file; None for anything else and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def part(body: object, key: str) -> Mapping[str, object]:
    """The object at a key of a file; empty where there is none."""
    value = body.get(key) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else {}
