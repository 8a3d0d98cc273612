"""What a loop does to its text, variables and values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llm_export.template_engines.rewriting.base import (
    Rule,
    Token,
    after,
    is_name,
    is_operator,
    is_value_name,
    on_tokens,
    operand_end,
    text_of,
    written,
)

_ENDS = {
    "for": "endfor", "if": "endif", "macro": "endmacro", "call": "endcall", "filter": "endfilter",
    "generation": "endgeneration", "block": "endblock", "with": "endwith",
}  # fmt: skip


@dataclass
class Tag:
    """A ``{% ... %}``. ``begin`` and ``end`` are the indices of its delimiters."""

    name: str
    begin: int
    end: int
    closes: int | None = None
    """The index, among the tags, of the one that ends its block."""
    parents: tuple[int, ...] = field(default=())
    """Of the blocks around it, outermost first."""


def tags_of(tokens: list[Token]) -> list[Tag]:
    """All tags; [] if blocks do not end as they should."""
    tags: list[Tag] = []
    open_: list[int] = []
    begin = None
    for at, token in enumerate(tokens):
        if token.kind == "block_begin":
            begin = at
        elif token.kind == "block_end" and begin is not None:
            first = after(tokens, begin)
            name = tokens[first].text if first < at else ""
            if open_ and name == _end_of(tags[open_[-1]].name):
                tags[open_.pop()].closes = len(tags)
            tag = Tag(name, begin, at, None, tuple(open_))
            tags.append(tag)
            if name in _ENDS or _captures(tokens, tag):
                open_.append(len(tags) - 1)
    return [] if open_ else tags


def _end_of(name: str) -> str:
    return "endset" if name == "set" else _ENDS[name]


def _captures(tokens: list[Token], tag: Tag) -> bool:
    """``{% set x %}``, whose value is what follows."""
    inside = tokens[tag.begin : tag.end]
    return tag.name == "set" and not any(is_operator(t, "=") for t in inside)


# -- a list that is not there -----------------------------------------------------------------


def _missing_list(tokens: list[Token]) -> list[Token]:
    made = list(tokens)
    for tag in reversed(tags_of(tokens)):
        if tag.name != "for":
            continue
        start = next((i for i in range(tag.begin, tag.end) if is_name(tokens[i], "in")), None)
        if start is None:
            continue
        start = after(tokens, start)
        end = operand_end(tokens, start)
        text = "" if end is None else text_of(tokens[start : end + 1])
        if end is None or not is_value_name(tokens[start]) or _is_there(text):
            continue
        rest = after(tokens, end)
        if set(text) & set("()|:") or not (rest == tag.end or is_name(tokens[rest], "if")):
            continue
        made[end + 1 : end + 1] = written("|default([])")
    return made


def _is_there(name: str) -> bool:
    """Whether a variable is passed, or set by ``OMITTED``."""
    return name in ("tools", "documents") or (name.isidentifier() and name.endswith("messages"))


MISSING_LIST = Rule(
    "missing_list", "@huggingface/jinja refuses a loop over a list that is not there",
    on_tokens(_missing_list),
)  # fmt: skip


# -- a loop over the characters of a text ----------------------------------------------------


def _text_loop(tokens: list[Token]) -> list[Token]:
    """``for part in message.content``, where the content may be a text, in which no part is."""
    made = list(tokens)
    for tag in reversed(tags_of(tokens)):
        start = next((i for i in range(tag.begin, tag.end) if is_name(tokens[i], "in")), None)
        if tag.name != "for" or start is None:
            continue
        start = after(tokens, start)
        end = operand_end(tokens, start)
        text = "" if end is None else text_of(tokens[start : end + 1])
        if end is None or not _CONTENT.search(text):
            continue
        value = text.partition("|")[0]
        made[start : end + 1] = written(f"([] if {value} is string else {text})")
    return made


_CONTENT = re.compile(r"""\bcontent(['"]\])?(\|default\(\[\]\))?$""")
TEXT_LOOP = Rule(
    "text_loop", "@huggingface/jinja refuses a loop over the characters of a text",
    on_tokens(_text_loop),
)  # fmt: skip


# -- continue -----------------------------------------------------------------------------------


def _continue(tokens: list[Token]) -> list[Token]:
    for _ in range(100):
        changed = _one_continue(tokens)
        if changed is None:
            return tokens
        tokens = changed
    return tokens


def _one_continue(tokens: list[Token]) -> list[Token] | None:
    """The last ``{% if c %}a{% continue %}{% endif %}b{% endfor %}`` as ``{% if c %}a{% else %}b
    {% endif %}{% endfor %}``; None if there is none."""
    tags = tags_of(tokens)
    for at, tag in reversed(list(enumerate(tags))):
        if tag.name != "continue" or len(tag.parents) < 2 or at + 1 >= len(tags):
            continue
        loop, condition = tag.parents[-2:]
        if tags[loop].name != "for" or tags[condition].name != "if":
            continue
        last = tags[condition].closes
        if last != at + 1 or any(
            tags[i].name in ("else", "elif") and tags[i].parents == tag.parents
            for i in range(condition, at)
        ):
            continue
        over = next(
            i for i in range(last + 1, len(tags))
            if i == tags[loop].closes
            or (tags[i].name == "else" and tags[i].parents == (*tag.parents[:-2], loop))
        )  # fmt: skip
        stop, whole = tags[over], tags[last]
        return [
            *tokens[: tag.begin], tokens[tag.begin], *written(" else "), tokens[whole.end],
            *tokens[whole.end + 1 : stop.begin], tokens[stop.begin], *written(" endif "),
            Token("block_end", "-%}"), Token("block_begin", "{%"), *tokens[stop.begin + 1 :],
        ]  # fmt: skip
    return None


CONTINUE = Rule(
    "continue", "@huggingface/jinja drops what an iteration wrote before `continue`",
    on_tokens(_continue),
)  # fmt: skip


# -- variables of an iteration ------------------------------------------------------------------


def _loop_scope(tokens: list[Token]) -> list[Token]:
    """A variable that a condition sets in a loop begins each iteration with its value outside."""
    tags = tags_of(tokens)
    made = list(tokens)
    for at in range(len(tags) - 1, -1, -1):
        tag = tags[at]
        names = _set_by_conditions(tokens, tags, at) if tag.name == "for" else []
        if not names:
            continue
        keep = "".join(f" set _{name}_{at} = {name} -%}}{{%" for name in names)
        back = "".join(f"-%}}{{% set {name} = _{name}_{at} " for name in names)
        made[tag.end : tag.end] = [Token("data", back)]
        made[tag.begin + 1 : tag.begin + 1] = [Token("data", keep)]
    return made


def _set_by_conditions(tokens: list[Token], tags: list[Tag], loop: int) -> list[str]:
    found = []
    targets = [token.text for token in _targets(tokens, tags[loop])]
    for tag in tags[loop + 1 : tags[loop].closes]:
        inner = [tags[i].name for i in tag.parents[tag.parents.index(loop) + 1 :]]
        if tag.name != "set" or not inner or set(inner) != {"if"}:
            continue
        name = after(tokens, after(tokens, tag.begin))
        target = after(tokens, name)
        if is_value_name(tokens[name]) and (target == tag.end or is_operator(tokens[target], "=")):
            found.append(tokens[name].text)
    return [name for name in dict.fromkeys(found) if name not in targets]


def _targets(tokens: list[Token], loop: Tag) -> list[Token]:
    """The tokens between ``for`` and ``in``, which each iteration sets anew."""
    inside = tokens[loop.begin : loop.end]
    return inside[: next(i for i, token in enumerate(inside) if is_name(token, "in"))]


LOOP_SCOPE = Rule(
    "loop_scope", "@huggingface/jinja keeps an iteration's variables for the next",
    on_tokens(_loop_scope),
)  # fmt: skip
