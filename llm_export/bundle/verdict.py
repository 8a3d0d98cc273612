"""The verdict on a program: a word, the figures behind it, and their limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL
from llm_export.metrics.interval import Interval

MEAN_KL, CHANGED = "mean_kl", "changed_top1"


@dataclass(frozen=True)
class Figure:
    """
    Attributes:
        name: mean_kl, in nats, or changed_top1, the share of positions with another most likely
            token.
        limit: largest value for the verdict's word; None if there is none.
        recipe_limit: largest value for which the run succeeds; None if there is none.
        interval: 95 % confidence interval; None if there are too few windows.
    """

    name: str
    value: float
    limit: float | None
    recipe_limit: float | None
    interval: Interval | None = field(default=None, metadata=OPTIONAL)

    def text(self) -> str:
        """Value and interval: 0.0086 nats (95 % interval 0.0081 to 0.0091)."""
        unit = " %" if self.name == CHANGED else " nats"
        between = self.interval
        if between is None:
            return f"{self._shown(self.value)}{unit}"
        low, high = self._shown(between.low), self._shown(between.high)
        return f"{self._shown(self.value)}{unit} (95 % interval {low} to {high})"

    def limits(self, word: str) -> str:
        """The limits beside it: good up to 0.05, this recipe up to 0.3."""
        of = ((word, self.limit), ("this recipe", self.recipe_limit))
        return ", ".join(f"{name} up to {self._shown(v)}" for name, v in of if v is not None)

    @property
    def title(self) -> str:
        return "top token changed" if self.name == CHANGED else "mean KL to float32"

    def _shown(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.name == CHANGED else f"{value:.2g}"


@dataclass(frozen=True)
class Verdict:
    """
    Attributes:
        word: of ``llm_export.metrics.scale``: lossless to broken, or not judged.
        meaning: what a user can expect, or why it is not judged.
        faithful: whether the program is numerically faithful: it computes what the eager model
            that was exported computes. None if that has no limit. A faithful program can have
            lost much: then quantization lost it, not export.
        remarks: what else is to be noticed.
        advice: an option that does better, if the loss is visible.
    """

    word: str
    meaning: str
    figures: tuple[Figure, ...]
    faithful: bool | None = field(default=None, metadata=OPTIONAL)
    remarks: tuple[str, ...] = ()
    advice: str | None = field(default=None, metadata=OPTIONAL)

    @property
    def headline(self) -> str:
        return f"{self.word}: {self.meaning}"

    def figure_rows(self) -> list[tuple[str, str]]:
        """Title and text of each figure, with its limits."""
        rows = []
        for figure in self.figures:
            limits = figure.limits(self.word)
            rows.append((figure.title, figure.text() + (f"; {limits}" if limits else "")))
        return rows

    def rows(self) -> list[tuple[str, str]]:
        """Title and text of each line below the headline."""
        rows = self.figure_rows()
        if self.faithful is not None:
            said = "computes" if self.faithful else "does not compute"
            rows.append(("numerically faithful", f"{'yes' if self.faithful else 'no'}: the program "
                         f"{said} what the exported model does"))  # fmt: skip
        rows += [("note", remark) for remark in self.remarks]
        if self.advice is not None:
            rows.append(("better", self.advice))
        return rows
