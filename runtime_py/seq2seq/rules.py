"""Rules for the next token, applied to logits before a token is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Rule = Callable[[Sequence[int], Tensor], Tensor]
"""(tokens generated so far, logits or log-probabilities [V]) -> the same with changes."""


class Suppress:
    """Tokens that are never generated, or not as the first one.

    Args:
        first: whether only as the first token.
    """

    def __init__(self, ids: Iterable[int], *, first: bool = False) -> None:
        self._ids, self._first = torch.tensor(sorted(set(ids)), dtype=torch.int64), first

    def __call__(self, generated: Sequence[int], scores: Tensor) -> Tensor:
        if not len(self._ids) or (self._first and generated):
            return scores
        return scores.index_fill(0, self._ids[self._ids < len(scores)], -math.inf)


def ruled(rules: Iterable[Rule], generated: Sequence[int], scores: Tensor) -> Tensor:
    """Apply rules in their order."""
    for rule in rules:
        scores = rule(generated, scores)
    return scores
