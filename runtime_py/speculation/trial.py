"""Try whether a program computes several tokens at once just as one by one, and how long it takes.

Kernels may sum in another order for several tokens than for one. Activations that are rounded to 8
bits amplify a difference of 1e-6 until another token is the most likely one. So equal means equal
bits, and it is tried where the program runs: kernels differ from processor to processor.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

from runtime_py.speculation.step_costs import StepCosts

if TYPE_CHECKING:
    from runtime_py.engines.engine import Engine


LONGEST = 16
"""Most tokens that are computed at once: those of a trial."""


@dataclass(frozen=True)
class Trial:
    """
    Attributes:
        difference: largest one of any logit.
        length: tokens of the step.
    """

    difference: float
    length: int


class Trials:
    """Those of one program. Kernels may depend on the number of cached tokens too: there is one
    trial for each power of two of it.
    """

    def __init__(self) -> None:
        self.costs = StepCosts()
        self._made: dict[int, Trial] = {}

    def at(self, program: Engine, ids: Sequence[int]) -> Trial | None:
        """Of the text that the program holds, ``ids``; None: there is no room for one, or it cannot
        go back from there. The cache is afterwards as it was.
        """
        size = program.position.bit_length()
        if size not in self._made:
            length = min(program.rows_length, LONGEST)
            room = program.context_length - program.position
            if (length > room and not program.attention_sink) or not program.can_undo(length):
                return None
            tokens = [ids[i % len(ids)] for i in range(length)]
            self._made[size] = self._tried(program, tokens)
        return self._made[size]

    def _tried(self, program: Engine, tokens: list[int]) -> Trial:
        position, seconds = program.position, list[float]()
        program.step(tokens, every=True)  # the first step of a method takes longer
        program.reset(position)
        begin = time.perf_counter()
        several = program.step(tokens, every=True)[0]
        self.costs.measured(len(tokens), time.perf_counter() - begin)
        program.reset(position)
        difference = 0.0
        for row, token in zip(several, tokens, strict=True):
            begin = time.perf_counter()
            one = program.step([token])[0, -1]
            seconds.append(time.perf_counter() - begin)
            difference = max(difference, float((row - one).abs().max()))
            # Also where both are not finite.
            difference = difference if torch.equal(row, one) else max(difference, 1e-45)
        program.reset(position)
        self.costs.measured(1, statistics.median(seconds))
        return Trial(difference, len(tokens))


_trials: WeakKeyDictionary[Engine, Trials] = WeakKeyDictionary()


def trials_of(program: Engine) -> Trials:
    """The trials of a loaded program, kept as long as it is loaded."""
    return _trials.setdefault(program, Trials())
