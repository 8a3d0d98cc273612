"""The metric interface. What shows results reads the titles and formats of their values here, so
a metric is shown wherever results are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from llm_export.metrics.value import Value

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A batch of positions of both models, in float64.

    Attributes:
        program, reference: logits, [P, V].
        log_program, log_reference: log-probabilities, [P, V].
        targets: the token that follows in the text, [P].
        words, bytes: words that begin in each target and bytes of its text, [P]; None if the
            text is not known.
    """

    program: Tensor
    reference: Tensor
    log_program: Tensor
    log_reference: Tensor
    targets: Tensor
    words: Tensor | None = None
    bytes: Tensor | None = None


class Accumulator(Protocol):
    """Accumulates one comparison, batch by batch."""

    def add(self, batch: Batch) -> None: ...

    def values(self) -> dict[str, float]:
        """Name in the results -> value over all positions; without those that it cannot know."""
        ...


@runtime_checkable
class MeanOverPositions(Accumulator, Protocol):
    """A metric whose main value is a mean over positions, so that it has a confidence interval."""

    def positions(self) -> Tensor:
        """[P]: the value of each position, in order."""
        ...


@dataclass(frozen=True)
class Metric:
    """A metric, defined by data and a class.

    Attributes:
        name: name of its main value in the results.
        unit: unit of that value; empty for none.
        higher_is_better: whether larger values are better.
        best: the value for two equal models.
        bounds: least and largest possible value.
        start: starts a comparison.
        limit: key of ``verify.lowering`` and ``verify.quality`` that bounds it; empty for none.
        violation: message for a ``value`` that exceeds ``limit``.
        widest: bound to which the noise floor can widen the limit.
        summary: text for ``value`` in the line that a run prints; empty to omit it.
        title, short_title, form, short_form, brief, alone: of the main value; see ``Value``.
        others: its further values.
    """

    name: str
    unit: str
    higher_is_better: bool
    start: Callable[[], Accumulator]
    best: float = 0.0
    bounds: tuple[float, float] = (0.0, math.inf)
    limit: str = ""
    violation: str = ""
    widest: float | None = None
    summary: str = ""
    title: str = ""
    short_title: str = ""
    form: str = "{:.3g}"
    short_form: str = ""
    brief: bool = True
    alone: bool = False
    others: tuple[Value, ...] = ()

    def columns(self) -> tuple[Value, ...]:
        """Its values as a table has them, the main one first."""
        main = Value(
            self.name, self.title, self.unit, self.higher_is_better,
            short_title=self.short_title, form=self.form, short_form=self.short_form,
            brief=self.brief, alone=self.alone,
        )  # fmt: skip
        return (main, *self.others)

    def keeps(self, value: float, limit: float) -> bool:
        """False for NaN as well, which compares false with everything."""
        return value >= limit if self.higher_is_better else value <= limit

    def widened(self, limit: float, floor: float, factor: float) -> float:
        """The limit that allows ``factor`` times the distance of ``floor`` from the best value."""
        pick, opposite = (min, max) if self.higher_is_better else (max, min)
        noise = self.best + factor * (floor - self.best)
        return pick(limit, noise if self.widest is None else opposite(noise, self.widest))
