"""What a metric declares. Nothing outside this package knows a metric by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some positions of both models, in float64.

    Attributes:
        program, reference: logits, [P, V].
        log_program, log_reference: log-probabilities, [P, V].
        targets: the token that follows in the text, [P].
    """

    program: Tensor
    reference: Tensor
    log_program: Tensor
    log_reference: Tensor
    targets: Tensor


class Accumulator(Protocol):
    """One comparison, batch by batch."""

    def add(self, batch: Batch) -> None: ...

    def values(self) -> dict[str, float]:
        """Name in the results -> value over all positions."""
        ...


@dataclass(frozen=True)
class Metric:
    """One metric as data and a class.

    Attributes:
        name: of its main value in the results.
        unit: of that value; empty for none.
        higher_is_better: the direction.
        best: the value of two equal models.
        start: begins a comparison.
        limit: key of ``verify.lowering`` and ``verify.quality`` that bounds it; empty for none.
        violation: in words, of ``value`` and ``limit``.
        widest: the noise floor widens the limit no further than to here.
        summary: in the line that a run prints, of ``value``; empty to leave it out.
    """

    name: str
    unit: str
    higher_is_better: bool
    start: Callable[[], Accumulator]
    best: float = 0.0
    limit: str = ""
    violation: str = ""
    widest: float | None = None
    summary: str = ""

    def keeps(self, value: float, limit: float) -> bool:
        """False for NaN, too, which compares false with everything."""
        return value >= limit if self.higher_is_better else value <= limit

    def widened(self, limit: float, floor: float, factor: float) -> float:
        """A limit that ``factor`` times the distance of ``floor`` from the best still keeps."""
        pick, opposite = (min, max) if self.higher_is_better else (max, min)
        noise = self.best + factor * (floor - self.best)
        return pick(limit, noise if self.widest is None else opposite(noise, self.widest))
