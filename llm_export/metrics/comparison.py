"""Compare two next-token distributions, position by position."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_export.json_data import INLINE, OPTIONAL
from llm_export.metrics import metrics
from llm_export.metrics.base import Batch, MeanOverPositions
from llm_export.metrics.interval import Interval, clustered_interval

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ComparisonResult:
    """Next-token distributions of a program and a reference.

    ``result.mean_kl`` is the value of that name.

    Attributes:
        intervals: name -> 95 % confidence interval, of the metrics that are means over positions;
            None if there are too few windows.
        values: name -> value, of every metric that could tell them. JSON has them beside
            the number of positions.
    """

    positions: int
    intervals: Mapping[str, Interval] | None = field(default=None, kw_only=True, metadata=OPTIONAL)
    values: Mapping[str, float] = field(metadata=INLINE)

    def value(self, name: str) -> float:
        """NaN if no metric gave one of this name."""
        return self.values.get(name, math.nan)

    def __getattr__(self, name: str) -> float:
        # Reached only for what is no field; "values" itself while a copy is being made.
        if name.startswith("_") or name == "values" or name not in self.values:
            raise AttributeError(name)
        return self.values[name]


_VALUES = 1 << 20
"""Number of logits to compare at once, in float64."""


class Comparison:
    """All metrics over the windows; logits are [P, V], targets [P]."""

    def __init__(self) -> None:
        self.positions = 0
        self._parts = [(metric, metric.start()) for metric in metrics()]
        self._ends: list[int] = []

    def end_window(self) -> None:
        """What was added since the last end are the positions of one window."""
        self._ends.append(self.positions)

    def add(
        self,
        program: Tensor,
        reference: Tensor,
        targets: Tensor,
        words: Tensor | None = None,
        bytes: Tensor | None = None,
    ) -> None:
        """
        Args:
            words, bytes: [P], of the targets; see ``Batch``.
        """
        # In float64 and several times over: a few positions at once.
        step = max(1, _VALUES // program.shape[-1])
        for start in range(0, len(targets), step):
            some = slice(start, start + step)
            self._add(program[some], reference[some], targets[some],
                      None if words is None else words[some],
                      None if bytes is None else bytes[some])  # fmt: skip

    def _add(
        self,
        program: Tensor,
        reference: Tensor,
        targets: Tensor,
        words: Tensor | None,
        bytes: Tensor | None,
    ) -> None:
        import torch  # a result is read without it

        p, r = program.double(), reference.double()
        batch = Batch(
            p, r, torch.log_softmax(p, -1), torch.log_softmax(r, -1), targets, words, bytes
        )
        for _, part in self._parts:
            part.add(batch)
        self.positions += len(targets)

    def result(self) -> ComparisonResult:
        """The number of positions, the values of each metric, and their intervals if the windows
        are known."""
        values: dict[str, float] = {}
        for _, part in self._parts:
            values |= part.values()
        return ComparisonResult(self.positions, values, intervals=self._intervals() or None)

    def _intervals(self) -> dict[str, Interval]:
        sizes = [end - start for start, end in zip([0, *self._ends], self._ends, strict=False)]
        if sum(sizes) != self.positions:
            return {}
        found = {
            metric.name: clustered_interval(part.positions(), sizes, metric.bounds)
            for metric, part in self._parts
            if isinstance(part, MeanOverPositions)
        }
        return {name: interval for name, interval in found.items() if interval is not None}
