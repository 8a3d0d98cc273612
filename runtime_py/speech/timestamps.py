"""Whisper's timestamps (arXiv:2212.04356, section 2.3 and appendix): where they may stand, and the
segments that they bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class TimestampRule:
    """Timestamps come in pairs and do not decrease, the first is near the beginning, and one is
    chosen if all together are more likely than any other token.

    Args:
        begin: id of the first timestamp; all ids from it on are timestamps.
        plain: the id that asks for text without timestamps, which is never generated.
        end: id that ends an answer; text has smaller ones.
        most: the first timestamp is at most this many steps after ``begin``.
    """

    def __init__(self, begin: int, plain: int | None, end: int, most: int) -> None:
        self.begin, self.plain, self.end, self.most = begin, plain, end, most

    def __call__(self, generated: Sequence[int], scores: Tensor) -> Tensor:
        begin, scores = self.begin, scores.clone()
        if self.plain is not None:
            scores[self.plain] = -math.inf
        last = bool(generated) and generated[-1] >= begin
        before = len(generated) < 2 or generated[-2] >= begin
        if last and before:
            scores[begin:] = -math.inf
        elif last:
            scores[: self.end] = -math.inf
        stamps = [token for token in generated if token >= begin]
        if stamps:
            # The second of a pair may repeat the first.
            first = stamps[-1] if last and not before else stamps[-1] + 1
            scores[begin:first] = -math.inf
        if not generated:
            scores[:begin] = -math.inf
            scores[begin + self.most + 1 :] = -math.inf
        each = torch.log_softmax(scores, dim=-1)
        if each[begin:].logsumexp(dim=-1) > each[:begin].max():
            scores[:begin] = -math.inf
        return scores


@dataclass(frozen=True)
class Span:
    """Part of a window's tokens, and its bounds in timestamps' steps."""

    start: float
    end: float
    tokens: tuple[int, ...]


def spans(tokens: Sequence[int], begin: int, steps: float) -> tuple[list[Span], float]:
    """(the segments of a window, steps to go on after).

    Two timestamps side by side are an end and a beginning. If nothing follows the last pair but
    text, this text was cut off by the window, and is heard again in the next one.

    Args:
        tokens: of the answer, without the one that ends it.
        steps: length of the window.
    """
    stamp = [token >= begin for token in tokens]
    cuts = [i + 1 for i in range(len(tokens) - 1) if stamp[i] and stamp[i + 1]]
    closed = stamp[-2:] == [False, True]
    if not cuts:
        stamps = [token - begin for token in tokens if token >= begin]
        end = float(stamps[-1]) if stamps and stamps[-1] else steps
        return [Span(0.0, end, tuple(tokens))], steps
    if closed:
        cuts.append(len(tokens))
    found, last = [], 0
    for cut in cuts:
        part = tuple(tokens[last:cut])
        found.append(Span(part[0] - begin, part[-1] - begin, part))
        last = cut
    return found, steps if closed else float(tokens[last - 1] - begin)
