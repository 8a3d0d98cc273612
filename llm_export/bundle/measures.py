"""Figures of a program whose task has its own: name, value, unit and limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL

LOWERING, QUALITY, SPEED = "lowering", "quality", "speed"
"""What a figure tells: whether the program computes what the exported model does, how near it is to
the float32 model, and how fast it is."""


@dataclass(frozen=True)
class Measure:
    """
    Attributes:
        name: of ``verify.limits``.
        title: for people.
        of: lowering, quality or speed.
        unit: behind the value; empty for a share or a cosine.
        limit: value at which the run still succeeds; None: there is none.
        higher_is_better: whether the limit is the smallest value, not the largest.
    """

    name: str
    title: str
    value: float
    of: str
    unit: str = ""
    limit: float | None = field(default=None, metadata=OPTIONAL)
    higher_is_better: bool = False

    @property
    def kept(self) -> bool:
        """Whether the limit is kept. NaN keeps none."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.higher_is_better else self.value <= self.limit

    def text(self) -> str:
        """Value, unit and limit: 0.9983, at least 0.995."""
        unit = f" {self.unit}" if self.unit else ""
        shown = f"{_shown(self.value)}{unit}"
        if self.limit is None:
            return shown
        bound = "at least" if self.higher_is_better else "at most"
        return f"{shown}, {bound} {_shown(self.limit)}{unit}"

    def problem(self) -> str:
        """What is wrong, where the limit is not kept."""
        return f"{self.title} {self.text()}"


def _shown(value: float) -> str:
    if 0.99 < value < 1:
        digits = f"{value:.6f}".rstrip("0")
        return f"{digits}0" if digits.endswith(".") else digits
    return f"{float(f'{value:.4g}'):,.0f}" if 9_999 < abs(value) < 1e15 else f"{value:.4g}"
