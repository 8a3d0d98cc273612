"""Python's methods."""

from __future__ import annotations

from collections.abc import Callable

from llm_export.template_engines.rewriting.base import (
    Rule,
    Token,
    after,
    before,
    is_name,
    is_operator,
    matching,
    on_tokens,
    operand_start,
    text_of,
    written,
)
from llm_export.template_engines.rewriting.text import literal_value

Replace = Callable[[str, str, str], "str | None"]
"""(object, method, arguments) -> what to write for the call; None leaves it."""


def replace_calls(tokens: list[Token], replace: Replace, *methods: str) -> list[Token]:
    """Rewrite calls of methods, inner ones first."""
    at = 0
    while at < len(tokens):
        call = _call(tokens, at, methods)
        if call is not None:
            start, end, name, arguments = call
            made = replace(text_of(tokens[start:at]), name, arguments)
            if made is not None:
                new = written(made)
                tokens = [*tokens[:start], *new, *tokens[end + 1 :]]
                at = start + len(new)
                continue
        at += 1
    return tokens


def _call(
    tokens: list[Token], at: int, methods: tuple[str, ...]
) -> tuple[int, int, str, str] | None:
    """(start of the object, end of the call, method, text of its arguments) of the dot."""
    if not is_operator(tokens[at], "."):
        return None
    name = after(tokens, at)
    left = before(tokens, at)
    if name >= len(tokens) or left < 0 or not is_name(tokens[name], *methods):
        return None
    bracket = after(tokens, name)
    if bracket >= len(tokens) or not is_operator(tokens[bracket], "("):
        return None
    start = operand_start(tokens, left)
    if start is None:
        return None
    end = matching(tokens, bracket)
    return start, end, tokens[name].text, text_of(tokens[bracket + 1 : end]).strip()


def _items(owner: str, method: str, arguments: str) -> str | None:
    return None if arguments else f"({owner.strip()}|items)"


ITEMS = Rule(
    "items", "in @huggingface/jinja a key 'items' hides the method; LiteRT-LM has no methods",
    on_tokens(lambda tokens: replace_calls(tokens, _items, "items")),
)  # fmt: skip


def _filter(owner: str, method: str, arguments: str) -> str | None:
    """A sum with a text refuses what has no such method."""
    filters = {"strip": "trim", "upper": "upper", "lower": "lower", "capitalize": "capitalize"}
    text = f"(({owner.strip()} + '')|"
    if method == "replace":
        return f"{text}replace({arguments}))" if arguments.count(",") == 1 else None
    return None if arguments else f"{text}{filters[method]})"


FILTERS = Rule(
    "filters", "LiteRT-LM has no methods of strings",
    on_tokens(lambda tokens: replace_calls(
        tokens, _filter, "strip", "upper", "lower", "capitalize", "replace",
    )),
)  # fmt: skip


def _affix(owner: str, method: str, arguments: str) -> str | None:
    value = literal_value(Token("string", arguments))
    if not value or max(value) > "\uffff":
        return None  # JavaScript counts such a character twice
    part = f"[:{len(value)}]" if method == "startswith" else f"[-{len(value)}:]"
    return f"(({owner.strip()} + ''){part} == {arguments})"


AFFIXES = Rule(
    "affixes", "LiteRT-LM has no `startswith` and `endswith`",
    on_tokens(lambda tokens: replace_calls(tokens, _affix, "startswith", "endswith")),
)  # fmt: skip


def _get(owner: str, method: str, arguments: str) -> str | None:
    key = literal_value(Token("string", arguments))
    return None if key is None else f"({owner.strip()}[{arguments}]|default(none))"


GET = Rule(
    "get", "LiteRT-LM has no methods of mappings",
    on_tokens(lambda tokens: replace_calls(tokens, _get, "get")),
)  # fmt: skip


def _join(owner: str, method: str, arguments: str) -> str | None:
    if literal_value(Token("string", owner.strip())) is None or not arguments or "," in arguments:
        return None
    return f"(({arguments})|join({owner.strip()}))"


JOIN = Rule(
    "join", "@huggingface/jinja has no method `join` of strings",
    on_tokens(lambda tokens: replace_calls(tokens, _join, "join")),
)  # fmt: skip
