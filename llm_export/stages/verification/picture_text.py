"""The text around a picture that verification shows. Imports no torch, because checks use it."""

from __future__ import annotations

BEFORE, AFTER = 4, 12
"""Tokens of the text before a picture, and after it."""


def slots(tokens: int) -> int:
    """Slots of the KV cache that one picture of so many tokens takes, with its text."""
    return BEFORE + tokens + AFTER
