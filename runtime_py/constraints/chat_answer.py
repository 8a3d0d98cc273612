"""Answers of a chat: reasoning, calls of tools, and what the text may be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime_py.constraints.call_syntax import CallSyntax
from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.lark import ANY, Lark
from runtime_py.tool_calls import Schemas

if TYPE_CHECKING:
    from runtime_py.reasoning import ReasoningFormat


@dataclass(frozen=True)
class Calls:
    """
    Attributes:
        names: of the tools that may be called.
        schemas: of their arguments.
        required: whether the answer is at least one call, and nothing else.
        single: whether one call is all.
    """

    syntax: CallSyntax
    names: Sequence[str]
    schemas: Schemas
    required: bool
    single: bool = False


class ChatAnswer(Constraint):
    """An answer that may begin with reasoning, of which nothing is asked.

    Args:
        text: what the text may be; None: anything.
        reasoning: how it is marked; None: there is none.
        opened: the prompt ends within the reasoning.
        calls: None: no calls.
    """

    def __init__(
        self,
        text: Constraint | None,
        reasoning: ReasoningFormat | None = None,
        opened: bool = False,
        calls: Calls | None = None,
    ) -> None:
        self._text, self._reasoning, self._opened, self._calls = text, reasoning, opened, calls

    def rule(self) -> dict[str, Any]:
        return self._rule(Lark({}))

    def grammar_for(self, special: Mapping[str, int]) -> str:
        markers = [self._reasoning.markers] if self._reasoning else []
        if self._calls is not None:
            syntax = self._calls.syntax
            markers += [syntax.markers, tuple(map(syntax.opening, self._calls.names))]
        texts = [text for group in markers for text in group]
        within = {t: token for t, token in special.items() if any(t in text for text in texts)}
        parts = [self._rule(Lark(within))]
        if self._text is not None:
            parts.append({"name": "text", **self._text.rule()})
        return json.dumps({"grammars": parts})

    def _rule(self, lark: Lark) -> dict[str, Any]:
        thought = self._thought(lark)
        start = f"{thought} {self._answer(lark)}" if thought else self._answer(lark)
        return {"lark_grammar": lark.lark(start)}

    def _thought(self, lark: Lark) -> str:
        reasoning = self._reasoning
        if reasoning is None:
            return ""
        after = f"({lark.literal(reasoning.after)})?" if reasoning.after.strip() else r"/\n{0,2}/"
        end = f"{lark.until(reasoning.end)} {after}"
        before = f"({' | '.join(map(lark.literal, reasoning.dropped))})*"
        before = before if reasoning.dropped else ""
        if self._opened:
            return f"{end} {before}"
        return f"({lark.literal(reasoning.begin)} {end})? {before}"

    def _answer(self, lark: Lark) -> str:
        text = "@text" if self._text is not None else lark.rule(ANY, "TEXT")
        calls = self._calls
        if calls is None:
            return text
        one = calls.syntax.calls(lark, calls.names, calls.schemas, begun=False)
        several = rf"{one} (/\n?/ {one})*" if calls.syntax.repeats and not calls.single else one
        if calls.required:
            return several
        if self._text is not None:
            return f"({several} | @text)"
        begun = calls.syntax.calls(lark, calls.names, calls.schemas, begun=True)
        begin = calls.syntax.begin(calls.syntax.opening(calls.names[0]))
        called = f"{lark.until(begin)} {begun}"
        return f"({called})* {text}" if calls.syntax.repeats else f"({called} | {text})"
