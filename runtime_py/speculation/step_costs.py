"""What a step of so many tokens costs."""

from __future__ import annotations

from bisect import bisect_left

_NEW = 0.2
"""Weight of a new measurement."""
_OUTLIER = 2.0
"""A step that took longer by this factor was interrupted; it counts as this much."""


class StepCosts:
    """Seconds of a step by its number of tokens, as measured of late. What was not measured is
    interpolated between what was.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def measured(self, tokens: int, seconds: float) -> None:
        """Take a measurement into account."""
        former = self._seconds.get(tokens)
        if former is None:
            # An interrupted step counts for little where its neighbours say more.
            self._seconds[tokens] = min(seconds, _OUTLIER * (self.of(tokens) or seconds))
            return
        self._seconds[tokens] = former + _NEW * (min(seconds, _OUTLIER * former) - former)

    def of(self, tokens: int) -> float:
        """Seconds; 0 if nothing was measured yet."""
        if tokens in self._seconds or not self._seconds:
            return self._seconds.get(tokens, 0.0)
        known = sorted(self._seconds)
        at = bisect_left(known, tokens)
        if at == 0:
            return self._seconds[known[0]]
        if at == len(known):
            low, high = (known[-2], known[-1]) if len(known) > 1 else (0, known[-1])
        else:
            low, high = known[at - 1], known[at]
        below, above = self._seconds.get(low, 0.0), self._seconds[high]
        return below + (above - below) * (tokens - low) / (high - low)
