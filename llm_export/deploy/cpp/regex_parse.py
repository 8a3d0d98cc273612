"""Parse the regular expressions with which tokenizers split text (Oniguruma's syntax).

Characters, classes, ``\\s \\d \\w \\p{..}``, groups, ``(?i:``, alternatives, quantifiers of all
three kinds, lookahead, and the ends of the text. Anything else, such as a lookbehind, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_export.deploy.cpp.code_points import (
    WHITE_SPACE,
    Ranges,
    any_case,
    category,
    complement,
    one,
    union,
)


@dataclass(frozen=True)
class Chars:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """``most`` None: without end."""

    part: Node
    least: int
    most: int | None
    kind: Literal["greedy", "lazy", "possessive"]


@dataclass(frozen=True)
class Look:
    """What follows is, or is not, ``part``; it takes no characters."""

    part: Node
    wanted: bool


@dataclass(frozen=True)
class Atomic:
    part: Node


@dataclass(frozen=True)
class Edge:
    end: bool


Node = Chars | Sequence | Choice | Repeat | Look | Atomic | Edge
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_MOST_REPEATS = 1000


def parse(pattern: str) -> Node:
    """
    Raises:
        ValueError: the expression has something that is not supported; the message names it.
    """
    parser = _Parser(pattern)
    node = parser.choice(ignore_case=False)
    if parser.rest:
        raise ValueError(f"'{parser.rest[:10]}'")
    return node


def literal(text: str) -> Node:
    """The expression that matches ``text`` alone."""
    return Sequence(tuple(Chars(one(character)) for character in text))


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text, self._at = pattern, 0

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    def _take(self, start: str) -> bool:
        found = self._text.startswith(start, self._at)
        self._at += len(start) * found
        return found

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise ValueError("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def choice(self, ignore_case: bool) -> Node:
        parts = [self._sequence(ignore_case)]
        while self._take("|"):
            parts.append(self._sequence(ignore_case))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, ignore_case: bool) -> Node:
        parts: list[Node] = []
        while self.rest and self.rest[0] not in "|)":
            parts.append(self._repeated(self._atom(ignore_case)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        while True:
            counted = False
            if self._take("?"):
                least, most = 0, 1
            elif self._take("*"):
                least, most = 0, None
            elif self._take("+"):
                least, most = 1, None
            elif found := self._counts():
                (least, most), counted = found, True
            else:
                return part
            if isinstance(part, Edge | Look):
                raise ValueError("a repeated assertion")
            # In Oniguruma's Ruby syntax a + behind {n,m} is a further quantifier.
            if not counted and self._take("+"):
                part = Repeat(part, least, most, "possessive")
            else:
                part = Repeat(part, least, most, "lazy" if self._take("?") else "greedy")

    def _counts(self) -> tuple[int, int | None] | None:
        end = self._text.find("}", self._at)
        if not self.rest.startswith("{") or end < 0:
            return None
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if not (least or most) or not all(not n or n.isdecimal() for n in (least, most)):
            return None
        self._at = end + 1
        low = int(least or 0)
        high = low if not comma else int(most) if most else None
        if max(low, high or 0) > _MOST_REPEATS:
            raise ValueError(f"more than {_MOST_REPEATS} repetitions")
        return low, high

    def _atom(self, ignore_case: bool) -> Node:
        if self._take("("):
            return self._group(ignore_case)
        character = self._next()
        if character == "[":
            ranges = self._class(ignore_case)
        elif character == ".":
            ranges = complement(one("\n"))
        elif character == "$":
            return Look(Choice((Edge(end=True), Chars(one("\n")))), wanted=True)
        elif character == "^":
            raise ValueError("'^', which means lines")
        elif character == "\\":
            if self.rest[:1] in ("A", "z"):
                return Edge(self._next() == "z")
            ranges = self._escape()
        elif character in "?*+":
            raise ValueError(f"'{character}' behind nothing")
        else:
            ranges = one(character)
        return Chars(any_case(ranges) if ignore_case else ranges)

    def _group(self, ignore_case: bool) -> Node:
        node: Node
        if self._take("?i:"):
            node = self.choice(ignore_case=True)
        elif self._take("?:"):
            node = self.choice(ignore_case)
        elif self._take("?="):
            node = Look(self.choice(ignore_case), wanted=True)
        elif self._take("?!"):
            node = Look(self.choice(ignore_case), wanted=False)
        elif self._take("?>"):
            node = Atomic(self.choice(ignore_case))
        elif self.rest.startswith("?"):
            raise ValueError(f"'({self.rest[:3]}'")
        else:
            node = self.choice(ignore_case)
        if not self._take(")"):
            raise ValueError("a group without its end")
        return node

    def _class(self, ignore_case: bool) -> Ranges:
        negated = self._take("^")
        parts: list[Ranges] = []
        while not (self._take("]") and parts):
            if self._text.startswith("&&", self._at):
                raise ValueError("'&&'")
            low = self._member(ignore_case)
            if self.rest[:1] == "-" and self.rest[1:2] not in ("]", "") and _single(low):
                self._next()
                high = self._member(ignore_case=False)
                if not _single(high) or high[0][0] < low[0][0]:
                    raise ValueError("a range of characters without its end")
                low = ((low[0][0], high[0][0]),)
            parts.append(any_case(low) if ignore_case else low)
        ranges = union(parts)
        return complement(ranges) if negated else ranges

    def _member(self, ignore_case: bool) -> Ranges:
        if self._take("[:"):
            raise ValueError("'[:'")
        if self._take("["):
            return self._class(ignore_case)
        character = self._next()
        return self._escape() if character == "\\" else one(character)

    def _escape(self) -> Ranges:
        character = self._next()
        if character in "pP":
            return self._property(negated=character == "P")
        if character in "sS":
            return WHITE_SPACE if character == "s" else complement(WHITE_SPACE)
        if character in "dD":
            digits = category("Nd")
            return digits if character == "d" else complement(digits)
        if character in "wW":
            word = union([category("L"), category("M"), category("N"), category("Pc")])
            return word if character == "w" else complement(word)
        if character in "xu":
            return self._by_number(character)
        if character in _ESCAPED:
            return one(_ESCAPED[character])
        if character.isalnum():
            raise ValueError(f"'\\{character}'")
        return one(character)

    def _braced(self) -> str:
        """What stands before the next }, behind which it goes on."""
        text, end, _ = self.rest.partition("}")
        if not end:
            raise ValueError("'{' without '}'")
        self._at += len(text) + 1
        return text

    def _by_number(self, kind: str) -> Ranges:
        if self._take("{"):
            digits = self._braced()
        else:
            digits = self.rest[: 2 if kind == "x" else 4]
            self._at += len(digits)
        try:
            return one(chr(int(digits, 16)))
        except (ValueError, OverflowError):
            raise ValueError(f"'\\{kind}{digits[:10]}'") from None

    def _property(self, negated: bool) -> Ranges:
        name = self._next()
        if name == "{":
            name = self._braced()
            if name.startswith("^"):
                name, negated = name[1:], not negated
        found = category(name)
        return complement(found) if negated else found


def _single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]
