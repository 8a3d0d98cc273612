"""Line ends and string literals."""

from __future__ import annotations

import ast
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
_KNOWN = frozenset("nrt'\"\\")


def _literal(token: Token) -> Token:
    if token.kind != "string" or all(e in _KNOWN for e in _ESCAPE.findall(token.text)):
        return token
    # As Jinja's lexer decodes it.
    body = token.text[1:-1]
    try:
        value = body.encode("ascii", "backslashreplace").decode("unicode-escape")
        value.encode("utf-8")
    except UnicodeError:
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
    if token.kind != "string":
        return None
    try:
        value = ast.literal_eval(token.text.replace("\n", "\\n"))
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, str) else None
