"""Read the values of calls that look like Python or like Gemma's notation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from runtime_py.tool_calls import ToolCall
from runtime_py.tool_formats.base import CutOff

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"'}
_CODE = re.compile(r"u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})")
_NAME = re.compile(r"[^\W\d][\w.-]*")
_KEY = re.compile(r"[^\s:=,(){}\[\]]+")
_BARE = re.compile(r"[^,)\]}]+")
_INTEGER = re.compile(r"[+-]?\d{1,300}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_CLOSING = ",)]}:"
_MOST = 64
"""Lists and dicts within one another."""

T = TypeVar("T")


class Literals:
    """Reads a text from its beginning.

    Args:
        quotes: what texts stand between. A quote of one character ends a text only where a value
            may end, since some templates write texts without escaping the quotes in them.
    """

    def __init__(self, text: str, quotes: tuple[str, ...] = ('"', "'")) -> None:
        self._text, self._at, self._quotes, self._depth = text, 0, quotes, 0

    def fail(self, wanted: str) -> NoReturn:
        """
        Raises:
            ValueError: always; CutOff at the end of the text.
        """
        where = f"{wanted} expected at character {self._at} of the call"
        raise (CutOff if self._at >= len(self._text) else ValueError)(where)

    def skip(self) -> None:
        """Go on behind white space."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def takes(self, mark: str) -> bool:
        """Whether ``mark`` is next, which is then read."""
        self.skip()
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def expect(self, mark: str) -> None:
        """
        Raises:
            ValueError: something else is next.
        """
        if not self.takes(mark):
            self.fail(repr(mark))

    def done(self) -> bool:
        """Whether nothing is left."""
        self.skip()
        return self._at >= len(self._text)

    def matched(self, pattern: re.Pattern[str], wanted: str) -> str:
        """
        Raises:
            ValueError: something else is next.
        """
        self.skip()
        found = pattern.match(self._text, self._at)
        if found is None:
            self.fail(wanted)
        self._at = found.end()
        return found.group()

    def value(self) -> Any:
        """A text, number, list, dict, true, false or null; other words are texts."""
        quote = next((q for q in self._quotes if self.takes(q)), None)
        if quote is not None:
            return self._quoted(quote)
        if self.takes("["):
            return self._several("]", self.value)
        if self.takes("{"):
            return dict(self._several("}", lambda: self.pair(":")))
        word = self.matched(_BARE, "a value").strip()
        if word.lower() in _WORDS:
            return _WORDS[word.lower()]
        if _INTEGER.fullmatch(word):
            return int(word)
        return float(word) if _NUMBER.fullmatch(word) else word

    def pair(self, between: str) -> tuple[str, Any]:
        """A key, ``between`` and a value."""
        quote = next((q for q in self._quotes if self.takes(q)), None)
        key = self._quoted(quote) if quote else self.matched(_KEY, "a name")
        self.expect(between)
        return key, self.value()

    def _several(self, end: str, read: Callable[[], T]) -> list[T]:
        self._depth += 1
        if self._depth > _MOST:
            raise ValueError("the call is nested too deeply")
        made: list[T] = []
        while not self.takes(end):
            if made:
                self.expect(",")
                if self.takes(end):
                    break
            made.append(read())
        self._depth -= 1
        return made

    def _quoted(self, quote: str) -> str:
        if len(quote) > 1:
            end = self._text.find(quote, self._at)
            if end < 0:
                raise CutOff("a text has no end in the call")
            text, self._at = self._text[self._at : end], end + len(quote)
            return text
        out: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == "\\":
                out.append(self._escaped())
            elif char == quote and self._closes():
                return "".join(out)
            else:
                out.append(char)
        raise CutOff("a text has no end in the call")

    def _closes(self) -> bool:
        """Whether a value may end here."""
        rest = self._text[self._at : self._at + 80].lstrip()
        return not rest or rest[0] in _CLOSING

    def _escaped(self) -> str:
        if found := _CODE.match(self._text, self._at):
            self._at = found.end()
            return chr(int(found[1] or found[2], 16))
        char = self._text[self._at : self._at + 1]
        if char not in _ESCAPES or not char:
            return "\\"
        self._at += 1
        return _ESCAPES[char]

    def call(self) -> ToolCall:
        """``NAME(KEY=VALUE, ...)``"""
        name = self.matched(_NAME, "the name of a tool")
        self.expect("(")
        return ToolCall(name, dict(self._several(")", lambda: self.pair("="))))

    def calls(self) -> list[ToolCall]:
        """Calls, in a list or one after another.

        Raises:
            ValueError: something else.
        """
        if self.takes("["):
            made = self._several("]", self.call)
        else:
            made = [self.call()]
            while not self.done():
                self.takes(",")
                made.append(self.call())
        if not self.done():
            self.fail("the end")
        if not made:
            raise ValueError("there is no call in it")
        return made

    def braced_call(self) -> ToolCall:
        """``call:NAME{KEY:VALUE,...}``"""
        self.expect("call:")
        name = self.matched(_KEY, "the name of a tool")
        self.expect("{")
        made = ToolCall(name, dict(self._several("}", lambda: self.pair(":"))))
        if not self.done():
            self.fail("the end")
        return made
