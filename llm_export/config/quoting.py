"""Quote values for Hydra's override grammar, and overrides for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path


def quoted(value: str | Path) -> str:
    """Quote a value for Hydra's override grammar, in which only quotes and the backslashes before
    them are special within quotes."""
    text = re.sub(r"(\\*)(?='|\Z)", r"\1\1", str(value)).replace("'", "\\'")
    return f"'{text}'"


def quoted_override(override: str) -> str:
    """The override with its value quoted, as a word of the shell."""
    key, _, value = override.partition("=")
    if re.fullmatch(r"[\w./+-]+", value, re.ASCII):
        return override  # a word or number of the grammar
    word = f"{key}={quoted(value)}"
    return shlex.quote(word) if re.search(r'["$`\\!]', word) else f'"{word}"'


def named_in(error: BaseException, overrides: Sequence[str]) -> str | None:
    """The override that an error of Hydra's grammar is of."""
    stated = getattr(error, "override", None)
    if isinstance(stated, str) and stated in overrides:
        return stated
    return next((o for o in overrides if f"'{o}'" in str(error)), None)
