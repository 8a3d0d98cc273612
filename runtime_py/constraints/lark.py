"""Pieces of grammars in llguidance's variant of Lark."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

ANY = r"/(.|\n)*/"
"""Any text, without special tokens."""


class Lark:
    """Rules of one grammar.

    Args:
        special: text of a special token -> its id. A text cannot spell these; a rule names them.
    """

    def __init__(self, special: Mapping[str, int]) -> None:
        self._special = special
        self._rules: list[str] = []
        names = sorted(map(re.escape, special), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(names)})") if names else None

    def rule(self, body: str, stem: str = "r", attributes: str = "") -> str:
        """Add a rule; returns its name."""
        name = f"{stem}_{len(self._rules)}"
        self._rules.append(f"{name}{attributes}: {body}")
        return name

    def literal(self, text: str) -> str:
        """An expression for exactly this text."""
        parts = self._split.split(text) if self._split else [text]
        return " ".join(self._part(part) for part in parts if part) or '""'

    def until(self, mark: str) -> str:
        """An expression for any text up to the first ``mark``, and for that."""
        parts = self._split.split(mark) if self._split else [mark]
        first, *rest = [part for part in parts if part]
        after = "".join(rest)
        if first in self._special:
            head = f"{self.rule(ANY, 'TEXT')} {self._part(first)}"
        else:
            head = self.rule(ANY, "until", f"[suffix={json.dumps(first, ensure_ascii=False)}]")
        return f"{head} {self.literal(after)}" if after else head

    def lark(self, start: str) -> str:
        return "\n".join(["%llguidance {}", f"start: {start}", *self._rules]) + "\n"

    def _part(self, text: str) -> str:
        if text in self._special:
            return f"<[{self._special[text]}]>"
        return json.dumps(text, ensure_ascii=False)
