"""Tags, filters, variables and functions that are not everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping

from jinja2 import TemplateSyntaxError, meta

from llm_export.template_engines.rewriting.base import (
    Rule,
    Token,
    after,
    before,
    before_all,
    is_name,
    is_operator,
    matching,
    on_tokens,
    written,
)
from llm_export.template_engines.rewriting.text import literal_value
from runtime_py.template_environment import template_environment


def _generation(tokens: list[Token]) -> list[Token]:
    """A condition takes the tag's place, with its white space."""
    made: list[Token] = []
    for at, token in enumerate(tokens):
        left = before(tokens, at)
        first = left >= 0 and tokens[left].kind == "block_begin"
        if first and is_name(token, "generation"):
            made += written("if true")
        elif first and is_name(token, "endgeneration"):
            made.append(Token("name", "endif"))
        else:
            made.append(token)
    return made


GENERATION = Rule(
    "generation", "minijinja does not know the tag, which only training reads",
    on_tokens(_generation),
)  # fmt: skip

_ALIASES = {"d": "default", "count": "length"}


def _aliases(tokens: list[Token]) -> list[Token]:
    made: list[Token] = []
    for at, token in enumerate(tokens):
        left, right = before(tokens, at), after(tokens, at)
        if token.kind != "name" or left < 0 or not is_operator(tokens[left], "|"):
            made.append(token)
            continue
        name = _ALIASES.get(token.text, token.text)
        called = right < len(tokens) and is_operator(tokens[right], "(")
        empty = called and after(tokens, right) == matching(tokens, right)
        if name == "default" and not called:
            made += written("default('')")
        else:
            made.append(Token("name", name))
            if name == "default" and empty:
                tokens[right] = Token("operator", "(''")
    return made


ALIASES = Rule(
    "aliases", "@huggingface/jinja knows no short names of filters, and no `default` without value",
    on_tokens(_aliases),
)  # fmt: skip


def _dicts(tokens: list[Token]) -> list[Token]:
    made = list(tokens)
    for at in range(len(tokens) - 1, -1, -1):
        bracket, left = after(tokens, at), before(tokens, at)
        called = is_name(tokens[at], "dict") and is_operator(tokens[bracket], "(")
        if not called or is_operator(tokens[left], ".", "|"):
            continue
        pairs = _pairs(made, bracket)
        if pairs is not None:
            end = matching(made, bracket)
            made[at : end + 1] = [Token("operator", "{"), *pairs, Token("operator", "}")]
    return made


def _pairs(tokens: list[Token], bracket: int) -> list[Token] | None:
    """Arguments with names as items of a mapping; None if one has no name."""
    made: list[Token] = []
    at, end, first = bracket + 1, matching(tokens, bracket), True
    while at < end:
        token, right = tokens[at], after(tokens, at)
        if first and token.kind == "name" and is_operator(tokens[right], "="):
            made += written(f"'{token.text}':")
            at, first = right + 1, False
        elif token.kind == "whitespace" or not first:
            stop = matching(tokens, at) if is_operator(token, "(", "[", "{") else at
            made += tokens[at : stop + 1]
            at = stop + 1
            first = is_operator(token, ",") or (first and token.kind == "whitespace")
        else:
            return None
    return made


DICT = Rule("dict", "@huggingface/jinja has no function `dict`", on_tokens(_dicts))

_NAMES = {
    "%B": ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December"),
    "%b": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}  # fmt: skip


def _months(tokens: list[Token]) -> list[Token]:
    made: list[Token] = []
    at = 0
    while at < len(tokens):
        bracket = after(tokens, at)
        text = after(tokens, bracket)
        end = after(tokens, text)
        form = literal_value(tokens[text]) if text < len(tokens) else None
        if (
            is_name(tokens[at], "strftime_now") and is_operator(tokens[bracket], "(")
            and form is not None and end < len(tokens) and is_operator(tokens[end], ")")
            and any(name in form for name in _NAMES)
        ):  # fmt: skip
            made += written(_dated(form))
            at = end + 1
        else:
            made.append(tokens[at])
            at += 1
    return made


def _dated(form: str) -> str:
    """The format in parts, of which the months are chosen by number."""
    parts, text = [], ""
    at = 0
    while at < len(form):
        two = form[at : at + 2]
        if two in _NAMES:
            if text:
                parts.append(f"strftime_now({json.dumps(text, ensure_ascii=False)})")
            text = ""
            names = ", ".join(f"'{name}'" for name in _NAMES[two])
            parts.append(f"[{names}][strftime_now('%m')|int - 1]")
            at += 2
        else:
            step = 2 if two.startswith("%") else 1
            text += form[at : at + step]
            at += step
    if text:
        parts.append(f"strftime_now({json.dumps(text, ensure_ascii=False)})")
    return f"({' + '.join(parts)})"


MONTHS = Rule(
    "months", "@huggingface/jinja names months in the language of the device", on_tokens(_months)
)

_NONE = ("tools", "documents")


def _omitted(source: str, specials: Mapping[str, str]) -> str:
    try:
        read = meta.find_undeclared_variables(template_environment().parse(source))
    except (TemplateSyntaxError, RecursionError):
        return source
    values = dict.fromkeys(_NONE, "none")
    values |= {name: json.dumps(text, ensure_ascii=False) for name, text in specials.items()}
    said = [
        (name, value) for name, value in values.items()
        if name in read and f"{{% if {name} is not defined %}}" not in source
    ]  # fmt: skip
    if not said:
        return source
    tags = "".join(
        f"{{% if {name} is not defined %}}{{% set {name} = {value} %}}{{% endif %}}"
        for name, value in said
    )
    return before_all(source, tags)


OMITTED = Rule(
    "omitted_variables",
    "apps pass no special tokens, and leave `tools` and `documents` out instead of null",
    _omitted,
)
