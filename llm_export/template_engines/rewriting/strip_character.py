"""``strip``, ``lstrip`` and ``rstrip`` of one character."""

from __future__ import annotations

from collections.abc import Mapping

from llm_export.template_engines.rewriting.base import Rule, Token, before_all, on_tokens
from llm_export.template_engines.rewriting.methods import replace_calls
from llm_export.template_engines.rewriting.text import literal_value

_LEFT, _RIGHT = "_strip_left", "_strip_right"
_MACROS = {
    _LEFT: "{% macro _strip_left(text, one) %}{% set _seen = namespace(any=false) %}"
    "{% for part in text.split(one) %}{% if _seen.any %}{{ one + part }}"
    "{% elif part or loop.last %}{{ part }}{% set _seen.any = true %}{% endif %}{% endfor %}"
    "{% endmacro %}",
    _RIGHT: "{% macro _strip_right(text, one) %}{% set _seen = namespace(gap='') %}"
    "{% for part in text.split(one) %}{% if part %}{{ _seen.gap + part }}"
    "{% set _seen.gap = '' %}{% endif %}{% set _seen.gap = _seen.gap + one %}{% endfor %}"
    "{% endmacro %}",
}


def _strip_one(owner: str, method: str, arguments: str) -> str | None:
    one = literal_value(Token("string", arguments))
    if one is None or len(one) != 1:
        return None
    made = owner.strip()
    if method != "rstrip":
        made = f"{_LEFT}({made}, {arguments})"
    if method != "lstrip":
        made = f"{_RIGHT}({made}, {arguments})"
    return made


_CHANGE = on_tokens(lambda tokens: replace_calls(tokens, _strip_one, "strip", "lstrip", "rstrip"))


def _strip_character(source: str, specials: Mapping[str, str]) -> str:
    made = _CHANGE(source, specials)
    if made == source or any(name in source for name in _MACROS):
        return source
    macros = [text for name, text in _MACROS.items() if f"{name}(" in made]
    return before_all(made, "".join(macros))


STRIP_CHARACTER = Rule(
    "strip_character",
    "@huggingface/jinja's strip, lstrip and rstrip ignore which character, and remove all white "
    "space",
    _strip_character,
)
