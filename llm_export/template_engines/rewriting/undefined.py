"""Missing values: Jinja2 writes nothing for them, @huggingface/jinja refuses them."""

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
    operand_end,
    operand_start,
    text_of,
    written,
)

_DEFAULT = "|default('')"


def _trim(tokens: list[Token]) -> list[Token]:
    made: list[Token] = []
    for at, token in enumerate(tokens):
        right = after(tokens, at)
        if (
            is_operator(token, "|") and right < len(tokens) and is_name(tokens[right], "trim")
            and _may_be_missing(tokens, before(tokens, at))
        ):  # fmt: skip
            made += written(_DEFAULT)
        made.append(token)
    return made


MISSING_TRIM = Rule(
    "missing_trim", "@huggingface/jinja refuses `trim` of a message without content",
    on_tokens(_trim),
)  # fmt: skip


def _concat(tokens: list[Token]) -> list[Token]:
    ends = set()
    for at, token in enumerate(tokens):
        if not is_operator(token, "~"):
            continue
        right = after(tokens, at)
        for end in (before(tokens, at), operand_end(tokens, right)):
            if end is not None and _may_be_missing(tokens, end):
                ends.add(end)
    made: list[Token] = []
    for at, token in enumerate(tokens):
        made.append(token)
        if at in ends:
            made += written(_DEFAULT)
    return made


MISSING_CONCAT = Rule(
    "missing_concat", "@huggingface/jinja refuses `~` with a missing value", on_tokens(_concat)
)


def _key(tokens: list[Token]) -> list[Token]:
    """``a[b.c]`` as ``a[b.c|default('')]``."""
    ends = set()
    for at, token in enumerate(tokens):
        left, start = before(tokens, at), after(tokens, at)
        if not is_operator(token, "[") or left < 0 or not is_value_name(tokens[left]):
            continue
        end = operand_end(tokens, start)
        if end is not None and is_operator(tokens[after(tokens, end)], "]"):
            inside = tokens[start : end + 1]
            if _may_be_missing(tokens, end) and any(is_operator(one, ".") for one in inside):
                ends.add(end)
    made: list[Token] = []
    for at, token in enumerate(tokens):
        made.append(token)
        if at in ends:
            made += written(_DEFAULT)
    return made


MISSING_KEY = Rule(
    "missing_key", "@huggingface/jinja refuses a missing value as a key", on_tokens(_key)
)


def _may_be_missing(tokens: list[Token], end: int) -> bool:
    """Whether an operand is a name, an attribute or a subscript: what a call, a filter or a literal
    gives is there."""
    if end < 0 or not (is_value_name(tokens[end]) or is_operator(tokens[end], "]")):
        return False
    start = operand_start(tokens, end)
    if start is None or not is_value_name(tokens[start]):
        return False
    return "|" not in text_of(tokens[start : end + 1])
