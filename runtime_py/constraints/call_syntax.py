"""Grammars of calls of tools, by the forms in which answers are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runtime_py.constraints.arguments import SYNTAXES, ArgumentSyntax
from runtime_py.constraints.lark import Lark
from runtime_py.tool_calls import Schemas
from runtime_py.tool_formats.base import ToolFormat

_NAME = "qzNnq"
_CLOSES = {"{": "}", "[": "]", "(": ")"}
_OPEN = re.compile(r'"(?:\\.|[^"\\])*"|[][{}()]')


class CallSyntax:
    """How calls are written in a format.

    Args:
        closing: what follows the arguments.
    """

    def __init__(self, format: ToolFormat, syntax: ArgumentSyntax, closing: str) -> None:
        self._format, self._syntax, self._closing = format, syntax, closing
        self.opening, self.markers = format.opening, format.markers

    def begin(self, opening: str) -> str:
        """Up to the marker that begins calls, after which nothing else can follow; empty: none."""
        return _beginning(self._format.begins, opening)

    def calls(self, lark: Lark, names: Sequence[str], schemas: Schemas, begun: bool) -> str:
        """An expression for a call of one of the tools.

        Args:
            begun: behind the marker.
        """
        each = []
        for name in names:
            opening = self._format.opening(name)
            opening = opening.removeprefix(self.begin(opening)) if begun else opening
            body = self._syntax.expression(lark, schemas[name])
            end = lark.literal(self._closing) if self._closing else ""
            mark = f" /\\n?/ {lark.literal(self._format.end)}" if self._format.end else ""
            each.append(lark.rule(f"{lark.literal(opening)} {body} {end}{mark}", "call"))
        return f"({' | '.join(each)})"

    @property
    def repeats(self) -> bool:
        """Whether something may follow a call: another one, or text."""
        opening = self._format.opening(_NAME)
        text = opening + self._syntax.example + self._closing
        return bool(self._format.end) or _reads(self._format, text + text, 2)

    @property
    def starts(self) -> bool:
        """Whether a marker begins each call."""
        return bool(self.begin(self._format.opening(_NAME)))


def call_syntax(format: ToolFormat) -> CallSyntax | None:
    """The way to write a call so that ``format`` reads it; None: it is not known."""
    opening = format.opening(_NAME)
    for syntax in SYNTAXES:
        for closing in _closings(format, opening):
            text = opening + syntax.example + syntax.after + closing
            if _reads(format, text):
                return CallSyntax(format, syntax, syntax.after + closing)
    return None


def _closings(format: ToolFormat, opening: str) -> Iterator[str]:
    """What may close what the opening has opened: brackets, or markers of the format's own."""
    open_ = []
    for found in _OPEN.findall(_without(opening, format.markers)):
        if found in _CLOSES:
            open_.append(_CLOSES[found])
        elif open_ and found == open_[-1]:
            open_.pop()
    brackets = "".join(reversed(open_))
    yield from (token + brackets for token in format.tokens if token not in opening)
    yield brackets


def _beginning(begins: Sequence[str], text: str) -> str:
    """A text up to the marker that begins calls; empty: it has none."""
    found = [text.find(begin) + len(begin) for begin in begins if begin in text]
    return text[: min(found, default=0)]


def _without(text: str, markers: Sequence[str]) -> str:
    for marker in markers:
        text = text.replace(marker, " ")
    return text


def _reads(format: ToolFormat, text: str, count: int = 1) -> bool:
    begin = _beginning((*format.begins, *format.leads), text)
    schemas = {_NAME: {"type": "object", "properties": {"x": {"type": "string"}}}}
    try:
        calls = format.parse(text if format.whole else text.removeprefix(begin), schemas)
    except ValueError:
        return False
    return [(call.name, call.arguments) for call in calls] == [(_NAME, {"x": "qz"})] * count
