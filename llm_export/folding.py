"""Text folded to fit a terminal."""

from __future__ import annotations

import shutil
import textwrap

WIDTH = 100
"""Columns of output that goes to no terminal, and the most of what does."""


def columns_here() -> int:
    """Columns of the terminal, or as the environment's COLUMNS says, but no more than WIDTH."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def folded(text: str, columns: int, hang: int = 0) -> str:
    """The text with each of its lines folded at spaces.

    A word is never broken, since it may be a command or a path that is to be copied.

    Args:
        columns: that a line takes at most, if its words allow.
        hang: columns by which what is folded is indented, beyond its line's own indentation.
    """
    lines = []
    for line in text.split("\n"):
        if len(line) <= columns:
            lines.append(line)
            continue
        own = len(line) - len(line.lstrip(" "))
        lines += textwrap.wrap(
            line, columns, subsequent_indent=" " * (own + hang), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines)
