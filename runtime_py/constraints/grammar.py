"""Answers of a context-free grammar."""

from __future__ import annotations

from typing import Any

from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.library import check
from runtime_py.errors import ArgumentError, shown


class Grammar(Constraint):
    """A text of a context-free grammar.

    Args:
        lark: in llguidance's variant of Lark, whose first rule is ``start``; ``<name>`` is a
            special token, and ``%json {...}`` a JSON schema.

    Raises:
        ArgumentError: it is no such grammar; the message has line and column.
    """

    def __init__(self, lark: str) -> None:
        if not isinstance(lark, str):
            raise ArgumentError(f"a grammar must be a text, not {shown(lark)}")
        self.lark = lark
        check("the grammar", self.grammar, "the syntax of https://github.com/guidance-ai/"
              "llguidance/blob/main/docs/syntax.md")  # fmt: skip

    def rule(self) -> dict[str, Any]:
        return {"lark_grammar": self.lark}
