"""Undo the folding of two-column output."""

from __future__ import annotations

import re


def entries(text: str) -> list[str]:
    """A line for each entry, whatever the width that it was folded for."""
    return re.sub(r"\n {6,}", " ", text).splitlines()
