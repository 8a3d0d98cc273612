"""One quantity of both sides, and what can be said of the difference."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.compare.figure import Figure, Quantity
from llm_export.compare.significance import ALPHA
from llm_export.metrics.interval import Interval

WELCH, PAIRED, INTERVALS, EXACT = "welch", "paired", "intervals", "exact"
"""Methods: repetitions of two measurements, in turns, 95 % intervals, and numbers that are
counted."""
UNTESTED = "not tested"
"""There are no repetitions and no interval."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """
    Attributes:
        base, new: None on the side that does not have it.
        ratio: new over base: of geometric means where both have samples, otherwise of the values.
            None where one is missing or not positive.
        interval: 95 % confidence interval of the ratio.
        method: by which the difference is tested; empty: it cannot be.
        p_value: of this row alone; ``adjusted`` is Holm's over all rows that are tested.
        not_comparable: conditions that differ.
        uncertain: why the measurements are doubtful.
    """

    quantity: Quantity
    base: Figure | None
    new: Figure | None
    ratio: float | None = None
    interval: Interval | None = None
    method: str = ""
    p_value: float | None = None
    adjusted: float | None = None
    not_comparable: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()

    @property
    def differs(self) -> bool | None:
        """Whether the values differ by more than chance, whatever the conditions; None where that
        cannot be tested."""
        if self.method == EXACT and self.base and self.new:
            return self.base.value != self.new.value
        return None if self.adjusted is None else self.adjusted < ALPHA

    @property
    def significant(self) -> bool | None:
        """``differs`` where the two can be compared; None where they cannot."""
        return None if self.obstacle else self.differs

    @property
    def obstacle(self) -> str:
        """Why nothing can be claimed of the difference; empty if it can."""
        if self.base is None or self.new is None:
            return "measured on one side alone"
        if self.not_comparable:
            return f"not comparable: {', '.join(self.not_comparable)}"
        if self.uncertain:
            return f"uncertain: {', '.join(self.uncertain)}"
        return "" if self.method else UNTESTED

    @property
    def worse_by(self) -> float | None:
        """The share by which new is worse than base; negative if it is better, None where neither
        direction is, or there is no ratio."""
        better = self.quantity.shown.higher_is_better
        if better is None or self.ratio is None:
            return None
        return 1 - self.ratio if better else self.ratio - 1

    @property
    def direction(self) -> str:
        """better, worse or equal; empty where neither direction is."""
        better = self.quantity.shown.higher_is_better
        if better is None or self.base is None or self.new is None:
            return ""
        distance = self.new.value - self.base.value if self.ratio is None else self.ratio - 1
        if not distance:
            return "equal"
        return "better" if (distance > 0) == better else "worse"

    @property
    def finding(self) -> str:
        """What can be said, in a few words."""
        if self.base is None or self.new is None:
            return "only in A" if self.new is None else "only in B"
        if self.obstacle:
            return self.obstacle
        if self.method == EXACT:
            return (self.direction or "differs") if self.differs else "equal"
        return f"significant: {self.direction or 'differs'}" if self.differs else "not significant"
