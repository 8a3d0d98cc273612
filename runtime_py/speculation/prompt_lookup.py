"""Propose what followed the last time that the text had the same tokens."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from runtime_py.errors import ArgumentError, check_whole
from runtime_py.speculation.proposer import Proposer


class PromptLookup(Proposer):
    """Prompt lookup (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding): what the text has
    after the latest earlier place with its last tokens. It needs no second model, and helps where
    an answer repeats parts of the prompt or of itself: edited code, extracts, structured data.

    Args:
        ngram: tokens that must be the same, at most; the longest match counts.
        shortest: tokens that must be the same, at least.
        most, exact: of ``Proposer``.
    """

    def __init__(
        self, *, ngram: int = 4, shortest: int = 2, most: int = 15, exact: bool = True
    ) -> None:
        super().__init__(most, exact=exact)
        check_whole("ngram", ngram, 1)
        check_whole("shortest", shortest, 1)
        if shortest > ngram:
            raise ArgumentError(f"shortest is {shortest}, and must be at most ngram, {ngram}")
        self.ngram, self.shortest = ngram, shortest

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        words = array("q", ids)
        data = words.tobytes()
        for size in range(min(self.ngram, len(ids) - 1), self.shortest - 1, -1):
            found = _last(data, size, words.itemsize)
            if found is not None:
                return _following(words, found + size, most)
        return []


def _last(data: bytes, size: int, width: int) -> int | None:
    """Where the last ``size`` words of ``data`` are found once more, latest first."""
    wanted, end = data[-size * width :], len(data) - width
    while (at := data.rfind(wanted, 0, end)) >= 0:
        if at % width == 0:
            return at // width
        end = at + len(wanted) - 1
    return None


def _following(ids: Sequence[int], start: int, most: int) -> list[int]:
    """``most`` tokens from ``start`` on; a text that repeats itself goes on in the same way."""
    period = len(ids) - start
    return [ids[start + i % period] for i in range(most)]
