"""The download cache: one folder, set by LLM_EXPORT_CACHE."""

from __future__ import annotations

import os
from pathlib import Path

from llm_export.home import expanded, is_temporary, own_folder

VARIABLE = "LLM_EXPORT_CACHE"


def cache_dir() -> Path:
    """$LLM_EXPORT_CACHE, else $XDG_CACHE_HOME/llm_export, else ~/.cache/llm_export."""
    if os.environ.get(VARIABLE):
        return expanded(os.environ[VARIABLE])
    return own_folder(".cache", "XDG_CACHE_HOME")


def cache_note() -> str | None:
    """What the user should know of a machine without a home directory."""
    folder = cache_dir()
    if not is_temporary(folder):
        return None
    return f"no home directory can be written: the cache is in {folder}; {VARIABLE}=FOLDER sets it"
