"""How a number is called and written wherever results are shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

REFERENCE = "reference_"
"""How the name of a value of the reference alone begins; the rest is the program's value."""


@dataclass(frozen=True)
class Value:
    """A number in the results.

    Attributes:
        name: its key in the results.
        title: heading of its column; empty is the name.
        unit: empty for none.
        higher_is_better: None: neither direction is.
        short_title, short_form: for narrow tables; empty is ``title`` and ``form``.
        form: format string for reports.
        brief: whether narrow tables have it: of a sweep, a card, a terminal.
        alone: whether it is of one model alone and needs no reference.
    """

    name: str
    title: str = ""
    unit: str = ""
    higher_is_better: bool | None = None
    short_title: str = ""
    form: str = "{:.3g}"
    short_form: str = ""
    brief: bool = True
    alone: bool = False

    @property
    def heading(self) -> str:
        return self.title or self.name

    @property
    def full_heading(self) -> str:
        """The heading with the unit, which a share has none of."""
        unit = "" if self.unit == "share" else self.unit
        return f"{self.heading} ({unit})" if unit else self.heading

    @property
    def short_heading(self) -> str:
        return self.short_title or self.heading

    def text(self, value: float | None) -> str:
        """The number in a report, without its unit; a dash for one that is missing."""
        return _text(self.form, value)

    def short(self, value: float | None) -> str:
        """The same in a narrow table."""
        return _text(self.short_form or self.form, value)

    def rank(self, value: float) -> float | None:
        """A number that is the less, the better; None if no direction is better."""
        if self.higher_is_better is None:
            return None
        return -value if self.higher_is_better else value


def present(values: Iterable[Value], get: Callable[[str], float | None]) -> list[Value]:
    """Those of ``values`` that ``get`` knows."""
    return [value for value in values if get(value.name) is not None]


def _text(form: str, value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else form.format(value)
