"""Answers that a regular expression matches."""

from __future__ import annotations

import re
from typing import Any

from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.library import check
from runtime_py.errors import ArgumentError, shown


class Regex(Constraint):
    """A text of which a regular expression matches the whole.

    Args:
        pattern: in the syntax of Rust's crate regex, without look-around and back-references.

    Raises:
        ArgumentError: it is no such expression; the message has the position.
    """

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str):
            raise ArgumentError(f"a regex must be a text, not {shown(pattern)}")
        self.pattern = pattern
        try:
            check("the regex", self.grammar, "https://docs.rs/regex/latest/regex/#syntax")
        except ArgumentError as error:
            # Without the grammar's line around it, whose columns are not the pattern's.
            said = re.search(r"\(in regex\): (.*?)(?:\n +\d+ \| |\Z)", error.what, re.DOTALL)
            what = f"the regex {shown(pattern)} cannot be used: {said[1]}" if said else error.what
            raise ArgumentError(what, fix=error.fix) from None

    def rule(self) -> dict[str, Any]:
        escaped = re.sub(r"\\.|[/\n]", _escaped, self.pattern, flags=re.DOTALL)
        return {"lark_grammar": f"start: /{escaped}/"}


def _escaped(found: re.Match[str]) -> str:
    """A slash would end the expression in Lark, and a line end the rule."""
    return {"/": "\\/", "\n": "\\n", "\\\n": "\\n"}.get(found[0], found[0])
