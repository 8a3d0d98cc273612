"""Text in two columns (names, and what is said of each), folded to fit a terminal; sizes."""

from __future__ import annotations

import textwrap
from typing import TextIO

from llm_export.folding import WIDTH, columns_here, folded, page_columns

__all__ = ["WIDTH", "beside", "columns_here", "fold", "gib", "on_page", "page_columns"]


def fold(text: str, hang: int = 2, stream: TextIO | None = None) -> str:
    """The text, folded to the columns of the stream, or of standard output; see ``folded``."""
    return folded(text, columns_here(stream), hang)


def beside(name: str, text: str, width: int, columns: int | None = None) -> list[str]:
    """Lines with ``name`` in ``width`` columns and the text folded beside it, to ``columns`` or to
    those of sentences (``columns_here``).

    A word is never broken, since it may be a command or a path that is to be copied.
    """
    first, *others = textwrap.wrap(
        text,
        max(20, (columns or columns_here()) - width - 1),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
    indent = " " * (width + 1)
    return [f"{name:<{width}} {first}".rstrip(), *(indent + line for line in others)]


def on_page(name: str, text: str, width: int) -> list[str]:
    """As ``beside``, for a list that people read by the page."""
    return beside(name, text, width, page_columns())


def gib(count: int) -> str:
    """Bytes of memory or disk, as people read them."""
    return f"{count / 2**30:.1f} GiB"
