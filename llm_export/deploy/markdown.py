"""Text of strangers in Markdown."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#|!~$&])")


def cell(text: object) -> str:
    """Text that is nothing but text in a line or a table."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))
