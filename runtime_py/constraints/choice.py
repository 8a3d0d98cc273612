"""Answers that are one of several texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.library import check
from runtime_py.errors import ArgumentError, shown


class Choice(Constraint):
    """One of several texts.

    Args:
        options: none is empty.

    Raises:
        ArgumentError: they are not a list of texts.
    """

    def __init__(self, options: Sequence[str]) -> None:
        listed = not isinstance(options, str | bytes | Mapping) and isinstance(options, Sequence)
        if not listed or not options or any(not isinstance(o, str) or not o for o in options):
            raise ArgumentError(
                f"a choice must be a list of texts that are not empty, not {shown(options)}",
                fix='Choice(["yes", "no"])',
            )
        self.options = tuple(options)
        check("the choice", self.grammar, "texts of valid Unicode")

    def rule(self) -> dict[str, Any]:
        texts = " | ".join(json.dumps(option, ensure_ascii=False) for option in self.options)
        return {"lark_grammar": f"start: {texts}"}
