"""Exact solver: one option per item, with the least total loss within a budget.

The multiple-choice knapsack problem (Kellerer, Pferschy, Pisinger, "Knapsack Problems", 2004,
chapter 11). Partial solutions of the first items are kept if no other is both cheaper and better.
They are dropped if even the continuous relaxation of the remaining items (from their lower convex
hulls) cannot make them better than a known solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MOST_STATES = 200_000
"""More partial solutions than this are reduced to the most promising ones. The result may then
differ from the optimum, by less than one step of one item.
"""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Item:
    """An item. Costs are integers; losses are additive."""

    costs: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class _Step:
    """From one corner of an item's convex hull to the next: ``cost`` more for ``gain`` less
    loss.
    """

    item: int
    option: int
    cost: int
    gain: float


def solve(items: Sequence[Item], budget: int) -> tuple[int, ...]:
    """The option index of each item; the cheapest among equally good solutions.

    Raises:
        ValueError: not even the cheapest options fit the budget.
    """
    if sum(min(item.costs) for item in items) > budget:
        raise ValueError("the cheapest options cost more than the budget")
    # The most decisive items come first, so that the relaxed remainder is small.
    order = sorted(range(len(items)), key=lambda i: min(items[i].costs) - max(items[i].costs))
    useful = [_useful(items[i]) for i in order]
    steps = [_hull(index, items[i], useful[index]) for index, i in enumerate(order)]
    bound = _greedy([items[i] for i in order], useful, steps, budget)
    picked = _search([items[i] for i in order], useful, steps, budget, bound)
    answer = dict(zip(order, picked, strict=True))
    return tuple(answer[i] for i in range(len(items)))


def _useful(item: Item) -> list[int]:
    """Options without a cheaper one of equal or less loss, by ascending cost."""
    kept: list[int] = []
    for index in sorted(range(len(item.costs)), key=lambda i: (item.costs[i], item.losses[i])):
        if not kept or item.losses[index] < item.losses[kept[-1]]:
            kept.append(index)
    return kept


def _hull(position: int, item: Item, useful: list[int]) -> list[_Step]:
    """Steps along the lower convex hull, by falling gain per cost."""
    corners: list[int] = []
    for index in useful:
        while len(corners) > 1 and _slope(item, corners[-1], index) >= _slope(
            item, corners[-2], corners[-1]
        ):
            corners.pop()
        corners.append(index)
    return [
        _Step(position, after, item.costs[after] - item.costs[before],
              item.losses[before] - item.losses[after])
        for before, after in pairwise(corners)
    ]  # fmt: skip


def _slope(item: Item, before: int, after: int) -> float:
    return (item.losses[before] - item.losses[after]) / (item.costs[after] - item.costs[before])


def _by_gain(steps: Sequence[list[_Step]]) -> list[_Step]:
    return sorted((s for own in steps for s in own), key=lambda s: s.gain / s.cost, reverse=True)


def _greedy(
    items: Sequence[Item], useful: Sequence[list[int]], steps: Sequence[list[_Step]], budget: int
) -> list[int]:
    """Take steps along the hulls while they fit: a good initial solution."""
    picked = [own[0] for own in useful]
    left = budget - sum(item.costs[p] for item, p in zip(items, picked, strict=True))
    blocked: set[int] = set()
    for step in _by_gain(steps):
        if step.item not in blocked and step.cost <= left:
            picked[step.item], left = step.option, left - step.cost
        else:
            blocked.add(step.item)
    return picked


def _relaxed(
    items: Sequence[Item], useful: Sequence[list[int]], steps: Sequence[list[_Step]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimum loss of the relaxed items as a function of their budget, as corner points."""
    least = sum(item.costs[own[0]] for item, own in zip(items, useful, strict=True))
    loss = sum(item.losses[own[0]] for item, own in zip(items, useful, strict=True))
    ordered = _by_gain(steps)
    costs = least + np.cumsum([0, *(s.cost for s in ordered)], dtype=np.float64)
    losses = loss - np.cumsum([0.0, *(s.gain for s in ordered)])
    return costs.astype(np.float64), losses.astype(np.float64)


def _search(
    items: Sequence[Item], useful: Sequence[list[int]], steps: Sequence[list[_Step]],
    budget: int, known: list[int],
) -> list[int]:  # fmt: skip
    best = sum(item.losses[p] for item, p in zip(items, known, strict=True))
    costs, losses = np.zeros(1, dtype=np.int64), np.zeros(1)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for position, item in enumerate(items):
        own = np.array(useful[position])
        rest = _relaxed(items[position + 1 :], useful[position + 1 :], steps[position + 1 :])
        more_cost = np.array(item.costs, dtype=np.int64)[own]
        more_loss = np.array(item.losses, dtype=np.float64)[own]
        costs = (costs[:, None] + more_cost).ravel()
        losses = (losses[:, None] + more_loss).ravel()
        bounds = losses + np.interp(budget - costs, *rest)
        hopeful = (costs + rest[0][0] <= budget) & (
            bounds <= best + _ROUNDING * (abs(best) + np.abs(losses))
        )
        kept = np.flatnonzero(hopeful)
        kept = kept[np.lexsort((losses[kept], costs[kept]))]
        # Of solutions by ascending cost, those better than all before.
        lowest = np.minimum.accumulate(losses[kept])
        kept = kept[np.r_[True, lowest[1:] < lowest[:-1]][: len(kept)]]
        if len(kept) > MOST_STATES:
            kept = np.sort(kept[np.argsort(bounds[kept], kind="stable")[:MOST_STATES]])
        trail.append((kept // len(own), own[kept % len(own)]))
        costs, losses = costs[kept], losses[kept]
    if not len(costs) or losses.min() > best:
        return known
    return _walk_back(trail, int(np.argmin(losses)))


def _walk_back(
    trail: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], state: int
) -> list[int]:
    picked = []
    for parents, options in reversed(trail):
        picked.append(int(options[state]))
        state = int(parents[state])
    return picked[::-1]
