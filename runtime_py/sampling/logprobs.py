"""Log-probabilities of tokens by the model: before penalties, temperature and truncation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError, shown
from runtime_py.sampling.threads import one_thread

MOST = 100
"""Most alternatives that are given."""


@dataclass(frozen=True)
class TokenLogprob:
    """
    Attributes:
        token: its id.
        logprob: natural logarithm of its probability.
        top: (id, logprob) of the most likely tokens in its place, the most likely first.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def check_top(name: str, value: object) -> None:
    """Raises ArgumentError if ``value`` is no number of tokens to give."""
    if type(value) is not int or not 0 <= value <= MOST:
        raise ArgumentError(f"{name} must be a whole number from 0 to {MOST}, not {shown(value)}")


def token_logprob(logits: Tensor, token: int, top: int = 0) -> TokenLogprob:
    """Of a token after a context.

    Args:
        logits: [V], after that context.
        top: number of most likely tokens to give.
    """
    with one_thread():
        scores = logits.float()
        total = torch.logsumexp(scores, 0)
        values, ids = torch.topk(scores, min(top, scores.numel()))
        best = zip(ids.tolist(), (values - total).tolist(), strict=True)
        return TokenLogprob(token, float(scores[token] - total), tuple(best))
