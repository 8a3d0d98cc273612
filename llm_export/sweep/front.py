"""The Pareto front of a sweep: the variants that no other one beats in everything at once."""

from __future__ import annotations

from collections.abc import Sequence

Ranks = Sequence[float | None]
"""Of one variant: numbers that are the less, the better; None for what was not measured."""


def on_front(all_ranks: Sequence[Ranks]) -> list[bool]:
    """Whether each variant is on the front: no other is as good in every rank and better in one.
    A variant that lacks a rank is not on it, unless all lack that rank.
    """
    used = [i for i in range(len(all_ranks[0]) if all_ranks else 0)
            if any(ranks[i] is not None for ranks in all_ranks)]  # fmt: skip
    points = [_point(ranks, used) for ranks in all_ranks]
    return [
        point is not None and bool(used)
        and not any(other is not None and _beats(other, point) for other in points)
        for point in points
    ]  # fmt: skip


def _point(ranks: Ranks, used: Sequence[int]) -> tuple[float, ...] | None:
    values = [value for i in used if (value := ranks[i]) is not None]
    return tuple(values) if len(values) == len(used) else None


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
