"""Decode for a long time: does the speed last? A processor that gets hot slows down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime_py.benchmark.depth import go_to
from runtime_py.benchmark.plan import Case
from runtime_py.benchmark.rounds import Round, one_round

if TYPE_CHECKING:
    from runtime_py.program import Program

POINTS = 200
"""Points of the series that is kept, at most."""
_CYCLE = 64
"""Tokens that are decoded before the caches go back, at most: each cycle is of the same depths."""
_TENTH = 0.1


class Cycle(NamedTuple):
    """``end``: seconds since the beginning; ``busy``: seconds of decoding ``tokens`` tokens."""

    end: float
    tokens: int
    busy: float


def sustained(
    program: Program,
    case: Case,
    vocabulary: int,
    seconds: float,
    began: Callable[[str], object] = lambda what: None,
) -> dict[str, Any]:
    """Decode at the depth of ``case`` for ``seconds`` seconds, and say how the speed changed."""
    prefix = case.depth + case.prompt_length
    short = Case(1, min(case.decode_length, _CYCLE), max(0, prefix - 1))
    go_to(program, short.depth, vocabulary)
    cycles: list[Cycle] = []
    start = time.perf_counter()
    while not cycles or cycles[-1].end < seconds:
        said = cycles[-1].end if cycles else 0.0
        began(f"{said:.0f} of {seconds:g} s")
        made: Round = one_round(program, short, vocabulary)
        cycles.append(Cycle(time.perf_counter() - start, len(made.tokens), made.decode))
    return described(cycles)


def described(cycles: Sequence[Cycle]) -> dict[str, Any]:
    """Tokens per second of the first and of the last tenth of the time, their ratio (``drift``:
    below 1, it became slower), and a series of at most ``POINTS`` means."""
    whole = cycles[-1].end
    first = [c for c in cycles if c.end <= whole * _TENTH] or cycles[:1]
    last = [c for c in cycles if c.end > whole * (1 - _TENTH)]
    size = -(-len(cycles) // POINTS)
    groups = [cycles[i : i + size] for i in range(0, len(cycles), size)]
    return {
        "seconds": whole,
        "tokens": sum(c.tokens for c in cycles),
        "tokens_per_second": _speed(cycles),
        "first_tokens_per_second": _speed(first),
        "last_tokens_per_second": _speed(last),
        "drift": _speed(last) / _speed(first),
        "series": [{"seconds": g[-1].end, "tokens_per_second": _speed(g)} for g in groups],
    }


def _speed(cycles: Sequence[Cycle]) -> float:
    return sum(c.tokens for c in cycles) / sum(c.busy for c in cycles)
