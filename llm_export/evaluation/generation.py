"""Generate greedily with any model under evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from llm_export.evaluation.base import Subject


def greedy(
    subject: Subject,
    ids: Sequence[int],
    *,
    most: int,
    ends: Collection[int],
    stopped: Callable[[list[int]], bool] = lambda made: False,
) -> list[int]:
    """The most likely tokens after ``ids``, one after the other.

    Args:
        most: tokens to generate at most; fewer where the context is full.
        ends: ids that end the answer; they are not part of it.
        stopped: whether the answer, as it is so far, is complete.
    """
    made: list[int] = []
    room = min(most, subject.context_length - len(ids) + 1)
    while len(made) < room:
        text = [*ids, *made]
        (row,) = subject.rows(text, len(text) - 1)
        token = int(row[-1].argmax())
        if token in ends:
            break
        made.append(token)
        if stopped(made):
            break
    return made
