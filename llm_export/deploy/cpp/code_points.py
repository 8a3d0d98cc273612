"""Sets of code points, as regular expressions of tokenizers name them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby

Ranges = tuple[tuple[int, int], ...]
"""Sorted, apart from each other, both ends within."""

MOST = 0x10FFFF
WHITE_SPACE: Ranges = (
    (0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
"""Unicode's property White_Space, which Oniguruma's ``\\s`` is."""
_FOLDED = {"s": "ſ", "k": "\u212a"}
"""Further characters that an ASCII letter matches if case is ignored (Unicode CaseFolding.txt)."""


def union(parts: Iterable[Ranges]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in sorted(span for part in parts for span in part):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for low, high in ranges:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    if start <= MOST:
        found.append((start, MOST))
    return tuple(found)


def one(character: str) -> Ranges:
    return ((ord(character), ord(character)),)


def any_case(ranges: Ranges) -> Ranges:
    """With the other case of each ASCII letter among ``ranges``; other letters stay as they are.

    Raises:
        ValueError: a letter outside ASCII, whose other cases are not known here.
    """
    more = [ranges]
    for low, high in ranges:
        if high - low > 128:  # a property or a negated class, which has both cases
            continue
        for code in range(low, high + 1):
            character = chr(code)
            if code > 127 and character.lower() != character.upper():
                raise ValueError(f"case of '{character}'")
            if character.isalpha():
                forms = {character.lower(), character.upper()}
                forms.add(_FOLDED.get(character.lower(), character))
                more += [one(form) for form in forms]
    return union(more)


@cache
def category(name: str) -> Ranges:
    """Code points of a Unicode general category (``Lu``) or of a group of them (``L``).

    Raises:
        ValueError: there is no such category.
    """
    found = union(spans for kind, spans in _categories().items() if kind.startswith(name))
    if not found or len(name) > 2:
        raise ValueError(f"property '{name}'")
    return found


@cache
def _categories() -> dict[str, Ranges]:
    found: dict[str, list[tuple[int, int]]] = {}
    for kind, codes in groupby(range(MOST + 1), lambda code: unicodedata.category(chr(code))):
        every: Sequence[int] = list(codes)
        found.setdefault(kind, []).append((every[0], every[-1]))
    return {kind: tuple(spans) for kind, spans in found.items()}
