"""Line ends and string literals."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm_export.template_engines.rewriting.base import Rule, Token, on_tokens


def _line_ends(source: str, specials: Mapping[str, str]) -> str:
    """As Jinja reads them: one line break at the end is none of the text's."""
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    # What is below it would be removed in its place.
    return text[:-1] if text.endswith("\n") and not text.endswith("\n\n") else text


LINE_ENDS = Rule(
    "line_ends", "@huggingface/jinja keeps \\r, and LiteRT-LM the line break at the end", _line_ends
)

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_STRING = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*\"""", re.DOTALL)
_KNOWN = frozenset("nrt'\"\\")


def _literal(token: Token) -> Token:
    if token.kind != "string" or all(e in _KNOWN for e in _ESCAPE.findall(token.text)):
        return token
    value = literal_value(token)
    if value is None:
        return token
    made = value.replace("\\", "\\\\").replace('"', '\\"')
    for char, name in (("\n", "n"), ("\r", "r"), ("\t", "t")):
        made = made.replace(char, f"\\{name}")
    return Token("string", f'"{made}"')


ESCAPES = Rule(
    "escapes", "@huggingface/jinja knows few escapes in strings and refuses the others",
    on_tokens(lambda tokens: [_literal(token) for token in tokens]),
)  # fmt: skip


def literal_value(token: Token) -> str | None:
    """The text of a string literal; None if it is none."""
    if token.kind != "string" or not _STRING.fullmatch(token.text):
        return None
    try:
        # As Jinja's lexer does it.
        value = token.text[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape")
        value.encode("utf-8")  # no half of a surrogate pair
    except UnicodeError:
        return None
    return value
