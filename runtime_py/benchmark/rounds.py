"""Measure one combination: warm up until the rounds agree, then repeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime_py.benchmark.depth import go_to, prompt_of
from runtime_py.benchmark.plan import Case

if TYPE_CHECKING:
    from runtime_py.program import Program

AGREE = 0.05
"""Two rounds whose speeds differ by no more than this share agree."""
WARMUPS = 5
"""Most rounds of warm-up where their number is left open."""


@dataclass(frozen=True)
class Round:
    """Seconds until the first token is known, and then of each token."""

    first: float
    tokens: tuple[float, ...]

    @property
    def decode(self) -> float:
        return sum(self.tokens)

    def agrees(self, other: Round) -> bool:
        """Whether prefill and decode were as fast as in another round, within ``AGREE``."""
        pairs = ((self.first, other.first), (self.decode, other.decode))
        return all(abs(a - b) <= AGREE * max(a, b) for a, b in pairs)


@dataclass
class Rounds:
    """
    Attributes:
        warmups: rounds before the measurement.
        settled: whether the last two of them agreed; None where their number was given.
        counted: the measured rounds.
    """

    warmups: int = 0
    settled: bool | None = None
    counted: list[Round] = field(default_factory=list)


def measure_rounds(
    program: Program,
    case: Case,
    vocabulary: int,
    *,
    warmup: int | None,
    repetitions: int,
    until: float = float("inf"),
    began: Callable[[str], object] = lambda what: None,
) -> Rounds:
    """
    Args:
        warmup: rounds that are not counted; None: until two in a row agree, ``WARMUPS`` at most.
        until: begin no further round after this time of ``time.perf_counter``. The last round
            counts where no other does.
        began: called with what each round is.
    """
    made = Rounds()
    last: Round | None = None
    for number in range(WARMUPS if warmup is None else warmup):
        began(f"warm-up {number + 1}")
        this = one_round(program, case, vocabulary)
        made.warmups += 1
        late = time.perf_counter() > until
        if warmup is None:
            made.settled = last is not None and this.agrees(last)
        if late:
            made.counted.append(this)
            made.warmups -= 1
            return made
        last = this
        if made.settled:
            break
    for number in range(repetitions):
        began(f"repetition {number + 1} of {repetitions}")
        made.counted.append(one_round(program, case, vocabulary))
        if time.perf_counter() > until:
            break
    return made


def one_round(program: Program, case: Case, vocabulary: int) -> Round:
    """Process a prompt and decode tokens, with ``case.depth`` tokens in the caches before it."""
    go_to(program, case.depth, vocabulary)
    prompt = prompt_of(case.prompt_length, vocabulary, case.depth)
    start = time.perf_counter()
    token = int(program.prefill(prompt).argmax())
    before = time.perf_counter()
    first, tokens = before - start, []
    for _ in range(case.decode_length):
        token = int(program.step([token])[0, -1].argmax())
        now = time.perf_counter()
        tokens.append(now - before)
        before = now
    return Round(first, tuple(tokens))
