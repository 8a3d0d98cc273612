"""The text for calibration and verification."""

from __future__ import annotations

from importlib import resources

from llm_export.errors import InputError
from llm_export.home import expanded


def shipped_text() -> str:
    """Three chapters of Jane Austen's Persuasion (1817), in the public domain."""
    return resources.files("llm_export.data").joinpath("english.txt").read_text("utf-8")


def read_text(path: str | None) -> str:
    """The recipe's text, or the default one.

    Raises:
        InputError: the file is missing or not UTF-8.
    """
    if path is None:
        return shipped_text()
    try:
        return expanded(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the text cannot be read: {error}", where=path) from None
