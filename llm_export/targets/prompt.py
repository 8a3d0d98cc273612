"""A prompt of a given length, for runners that take text."""

from __future__ import annotations

from collections.abc import Callable

_WORD, _LETTER = " the", "a"


def prompt_of(length: int, count: Callable[[str], int]) -> str:
    """A repeated word of ``length`` tokens, or of a few less where no repetition has just these.

    Args:
        count: the number of tokens of a text.
    """
    repeated = _most(_WORD, "", length, count)
    filled = _most(_LETTER, repeated, length, count) or repeated
    return filled or _WORD


def _most(unit: str, before: str, length: int, count: Callable[[str], int]) -> str:
    """``before`` and as often ``unit`` as fits ``length`` tokens."""
    low, high = 0, 1
    while count(before + unit * high) <= length and high <= length * 8:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if count(before + unit * middle) <= length:
            low = middle
        else:
            high = middle
    return before + unit * low
