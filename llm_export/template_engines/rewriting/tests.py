"""Comparisons and tests of a value's kind."""

from __future__ import annotations

from llm_export.template_engines.rewriting.base import (
    Rule,
    Token,
    after,
    before,
    is_name,
    is_operator,
    is_value_name,
    on_tokens,
    operand_start,
    text_of,
    written,
)

_SINGLETONS = ("true", "false", "none", "True", "False", "None")


def _singletons(tokens: list[Token]) -> list[Token]:
    """``a == false`` as ``a is false``, where ``a`` is an operand of nothing else."""
    made = list(tokens)
    for at in range(len(tokens) - 1, -1, -1):
        right = after(tokens, at)
        if not is_operator(tokens[at], "==", "!=") or not is_name(tokens[right], *_SINGLETONS):
            continue
        start = _plain(tokens, before(tokens, at))
        if start is None or tokens[before(tokens, start)].kind == "operator":
            continue
        word = "is" if tokens[at].text == "==" else "is not"
        made[at : right + 1] = written(f"{word} {tokens[right].text.lower()}")
        made[at:at] = [] if tokens[at - 1].kind == "whitespace" else written(" ")
    return made


SINGLETONS = Rule(
    "singletons", "in @huggingface/jinja '' equals false, and a missing value equals none",
    on_tokens(_singletons),
)  # fmt: skip


def _iterable(tokens: list[Token]) -> list[Token]:
    made = list(tokens)
    for at in range(len(tokens) - 1, -1, -1):
        right = after(tokens, at)
        if not is_name(tokens[at], "is") or not is_name(tokens[right], "iterable"):
            continue
        end = before(tokens, at)
        start = _plain(tokens, end)
        if start is None:
            continue
        x = text_of(tokens[start : end + 1])
        made[start : right + 1] = written(
            f"({x} is iterable or {x} is mapping or {x} is not defined)"
        )
    return made


ITERABLE = Rule(
    "iterable", "in @huggingface/jinja neither mappings nor missing values are iterable",
    on_tokens(_iterable),
)  # fmt: skip


def _string(tokens: list[Token]) -> list[Token]:
    made = list(tokens)
    for at in range(len(tokens) - 1, -1, -1):
        right = after(tokens, at)
        if not is_operator(tokens[at], "|") or not is_name(tokens[right], "string"):
            continue
        end = before(tokens, at)
        start = _plain(tokens, end)
        if start is None:
            continue
        x = text_of(tokens[start : end + 1])
        made[start : right + 1] = written(
            f"('None' if {x} is none else 'True' if {x} is true else 'False' if {x} is false "
            f"else {x}|string)"
        )
    return made


STRING = Rule(
    "string", "@huggingface/jinja writes true as `true`, and refuses `string` of none",
    on_tokens(_string),
)  # fmt: skip


def _plain(tokens: list[Token], end: int) -> int | None:
    """Where a name with attributes and subscripts begins that ends here; None if it is another."""
    if end < 0 or not (is_value_name(tokens[end]) or is_operator(tokens[end], "]")):
        return None
    start = operand_start(tokens, end)
    if start is None or not is_value_name(tokens[start]):
        return None
    return None if set("|(") & set(text_of(tokens[start : end + 1])) else start
