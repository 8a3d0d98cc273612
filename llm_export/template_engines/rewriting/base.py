"""A rule, and the tokens that it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import Environment, TemplateSyntaxError


class Token(NamedTuple):
    """``kind``: of Jinja's lexer: data, name, string, operator, whitespace, block_begin, ..."""

    kind: str
    text: str


@dataclass(frozen=True)
class Rule:
    """
    Attributes:
        name: for reports.
        why: what engines do with the construct.
        apply: (template, special tokens) -> template; the same if it has no such construct.
    """

    name: str
    why: str
    apply: Callable[[str, Mapping[str, str]], str]


def on_tokens(change: Callable[[list[Token]], list[Token]]) -> Callable[..., str]:
    """A rule's function of one on tokens; it leaves what is no template as it is."""

    def apply(source: str, specials: Mapping[str, str]) -> str:
        try:
            tokens = tokens_of(source)
        except TemplateSyntaxError:
            return source
        changed = change(list(tokens))
        return source if changed == tokens else text_of(changed)

    return apply


def tokens_of(source: str) -> list[Token]:
    """The tokens, whose texts together are the template.

    Raises:
        TemplateSyntaxError: it is no template, or has line breaks other than \\n.
    """
    # The lexer of Jinja without its options, which would drop white space that counts elsewhere.
    # What `-` removes it drops in any case.
    tokens, at = [], 0
    for _, kind, text in Environment(keep_trailing_newline=True).lex(source):
        here = source.find(text, at)
        between = source[at:here]
        if here < 0 or between.strip():
            raise TemplateSyntaxError("the lexer changes the text", 1)
        if between:
            tokens.append(Token("data", between))
        tokens.append(Token(kind, text))
        at = here + len(text)
    return [*tokens, Token("data", source[at:])] if source[at:] else tokens


def text_of(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


def written(text: str) -> list[Token]:
    """Text that a rule writes inside of a tag."""
    return tokens_of("{{" + text + "}}")[1:-1]


OPENERS, CLOSERS = {"(": ")", "[": "]", "{": "}"}, {")": "(", "]": "[", "}": "{"}
_KEYWORDS = frozenset(
    ("and", "or", "not", "in", "is", "if", "else", "elif", "for", "set", "recursive")
)


def after(tokens: list[Token], at: int) -> int:
    """The index of the next token that is no white space; the list's length if there is none."""
    at += 1
    while at < len(tokens) and tokens[at].kind == "whitespace":
        at += 1
    return at


def before(tokens: list[Token], at: int) -> int:
    """The index of the last token before that is no white space; -1 if there is none."""
    at -= 1
    while at >= 0 and tokens[at].kind == "whitespace":
        at -= 1
    return at


def is_name(token: Token, *names: str) -> bool:
    return token.kind == "name" and (token.text in names if names else True)


def is_value_name(token: Token) -> bool:
    """A name that stands for a value."""
    return token.kind == "name" and token.text not in _KEYWORDS


def is_operator(token: Token, *texts: str) -> bool:
    return token.kind == "operator" and token.text in texts


def matching(tokens: list[Token], at: int) -> int:
    """The index of the bracket that closes the one at ``at``, or opens it."""
    step = 1 if tokens[at].text in OPENERS else -1
    depth, here = 0, at
    while True:
        if tokens[here].kind == "operator":
            if tokens[here].text in OPENERS:
                depth += 1
            elif tokens[here].text in CLOSERS:
                depth -= 1
        if depth == 0:
            return here
        here += step


def operand_start(tokens: list[Token], end: int) -> int | None:
    """Where a name, a call, a subscript or a bracket begins whose last token is ``end``; None if
    there is none. ``a.b[0].c(d)`` is one operand, ``a|b`` begins at ``b`` only as a filter of a.
    """
    here = end
    while True:
        if is_operator(tokens[here], ")", "]", "}"):
            here = matching(tokens, here)
            left = before(tokens, here)
            called = tokens[here].text in "([" and left >= 0 and (
                is_value_name(tokens[left]) or is_operator(tokens[left], ")", "]")
                or (tokens[left].kind == "string" and tokens[here].text == "[")
            )  # fmt: skip
            if called:
                here = left
                continue
        elif not (is_value_name(tokens[here]) or tokens[here].kind == "string"):
            return None
        left = before(tokens, here)
        if left >= 0 and is_operator(tokens[left], ".", "|"):
            here = before(tokens, left)
            continue
        return here


def operand_end(tokens: list[Token], start: int) -> int | None:
    """Where the operand ends whose first token is ``start``; None if there is none."""
    if is_operator(tokens[start], "(", "[", "{"):
        here = matching(tokens, start)
    elif is_value_name(tokens[start]) or tokens[start].kind == "string":
        here = start
    else:
        return None
    while True:
        right = after(tokens, here)
        if right >= len(tokens):
            return here
        if is_operator(tokens[right], "(", "["):
            here = matching(tokens, right)
        elif is_operator(tokens[right], ".", "|"):
            here = after(tokens, right)
        else:
            return here


def before_all(source: str, block: str) -> str:
    """``block``, which ends with a tag, and the template below it: the line break goes with the
    tag, so that the template begins a line as before."""
    return f"{block}\n{source}"
