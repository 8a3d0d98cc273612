"""Text folded to fit a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TextIO

WIDTH = 100
"""Most columns of a line on a terminal, and of a page that goes to none."""


def page_columns() -> int:
    """Columns of what people read by the page (help, lists): those of the terminal, or as the
    environment's COLUMNS says, but no more than WIDTH, which they are without a terminal."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def columns_here(stream: TextIO | None = None) -> int:
    """Columns of sentences: as ``page_columns``, but unlimited where the output goes to no
    terminal and COLUMNS is not set, since programs such as grep read it by the line.

    Args:
        stream: that the sentences are written to; None: standard output.
    """
    stream = stream or sys.stdout
    if stream.isatty() or os.environ.get("COLUMNS"):
        return page_columns()
    return sys.maxsize


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
