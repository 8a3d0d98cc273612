"""How many tokens to propose: as many as are worth their cost."""

from __future__ import annotations

from runtime_py.speculation.step_costs import StepCosts

_KEPT = 0.8
"""Weight of what was accepted before, when there is a new result."""
_PRIOR, _PRIOR_WEIGHT = 0.8, 1.0
"""Share of proposed tokens that are expected to be accepted before anything is known, and how many
tokens that counts for."""
_GAIN = 1.05
"""Least gain in speed for which tokens are proposed."""
_PROBE = 3
"""Tokens that are proposed to see whether it is worth it again."""
_SHORT, _LONG = 8, 128
"""Tokens of the answer after which that is tried for the first time, and at last."""


class Pace:
    """Expects that each proposed token is accepted with the same probability a, if those before it
    are. A step that checks k of them then gives (1 - a^(k+1)) / (1 - a) tokens (Leviathan et al.
    2023, eq. 1), at the measured cost of a step of k + 1 tokens, and of proposing k.

    Args:
        most: tokens that are proposed at once, at most.
    """

    def __init__(self, costs: StepCosts, most: int) -> None:
        self._costs, self._most = costs, most
        self._accepted, self._tried = _PRIOR * _PRIOR_WEIGHT, _PRIOR_WEIGHT
        self._proposing = 0.0
        self._pause, self._until = _SHORT, 0

    def count(self, generated: int) -> int:
        """Tokens to propose after as many generated ones; 0: none."""
        best = self._best()
        if best:
            self._pause = _SHORT
            return best
        if not self._until:
            self._until = generated + self._pause
        if generated < self._until:
            return 0
        self._pause, self._until = min(2 * self._pause, _LONG), 0
        return min(_PROBE, self._most)

    def _best(self) -> int:
        share = self._accepted / self._tried
        single = max(self._costs.of(1), 1e-9)
        found, speed, tokens = 0, _GAIN / single, 1.0
        for count in range(1, self._most + 1):
            tokens += share**count
            # Never less than one token's, whatever an unsteady clock says.
            cost = max(self._costs.of(count + 1), single) + count * self._proposing
            if tokens / cost > speed:
                found, speed = count, tokens / cost
        return found

    def proposed(self, count: int, seconds: float) -> None:
        """Take into account how long it took to propose."""
        each = seconds / max(count, 1)
        former = self._proposing or each
        self._proposing = former + 0.2 * (min(each, 2 * former) - former)

    def checked(self, accepted: int, of: int) -> None:
        """Take into account how many of the proposed tokens were accepted, from the first on."""
        self._accepted = _KEPT * self._accepted + accepted
        self._tried = _KEPT * self._tried + accepted + (accepted < of)
