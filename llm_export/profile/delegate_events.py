"""Which operator of a delegate's graph each event belongs to that the delegate traced.

A delegate names its own operators, "Fully Connected (NC, F32) GEMM #2". It runs them in the order
of its graph, but fuses some and drops others. So events and operators are aligned: in order, as
many as possible, an event only to an operator that it may compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from llm_export.backends.trace_names import TRACE_NAMES

_AGAIN = 0.9
"""What another event of the same operator counts, such as one copy for each part of a cat."""


def operators_of_events(
    backend: str, events: Sequence[str], operators: Sequence[str]
) -> tuple[int | None, ...]:
    """For each event the index of its operator; None if it belongs to none.

    Args:
        backend: ExecuTorch's name of the delegate.
        events: their names in the order in which they ran.
        operators: namespace::name in the order of the graph.
    """
    return _aligned(backend, tuple(map(event_kind, events)), tuple(operators))


def event_kind(event: str) -> str:
    """The operator's name without its types and number."""
    return event.partition(" (")[0]


@lru_cache(maxsize=1024)
def _aligned(
    backend: str, events: tuple[str, ...], operators: tuple[str, ...]
) -> tuple[int | None, ...]:
    names = TRACE_NAMES.get(backend, {})
    plain = [operator.rpartition("::")[2] for operator in operators]
    score = [[0.0] * (len(plain) + 1) for _ in range(len(events) + 1)]
    for i, event in enumerate(events, 1):
        for j, operator in enumerate(plain, 1):
            best = max(score[i - 1][j], score[i][j - 1])
            if _may(names, event, operator):
                best = max(best, score[i - 1][j - 1] + 1, score[i - 1][j] + _AGAIN)
            score[i][j] = best
    found: list[int | None] = [None] * len(events)
    i, j = len(events), len(plain)
    while i and j:
        here, may = score[i][j], _may(names, events[i - 1], plain[j - 1])
        if here == score[i][j - 1]:  # of several ways the earliest operators
            j -= 1
        elif may and here == score[i - 1][j - 1] + 1:
            found[i - 1] = j - 1
            i, j = i - 1, j - 1
        elif may and here == score[i - 1][j] + _AGAIN:
            found[i - 1] = j - 1
            i -= 1
        else:
            i -= 1
    return tuple(found)


def _may(names: Mapping[str, set[str]], event: str, operator: str) -> bool:
    return operator in names.get(event, ())
