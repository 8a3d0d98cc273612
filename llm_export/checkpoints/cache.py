"""The download cache: one folder, set by LLM_EXPORT_CACHE."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LLM_EXPORT_CACHE"


def cache_dir() -> Path:
    """$LLM_EXPORT_CACHE, else $XDG_CACHE_HOME/llm_export, else ~/.cache/llm_export."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "llm_export"
