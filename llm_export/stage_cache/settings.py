"""Folder and size limit of the stage cache."""

from __future__ import annotations

import os
from pathlib import Path

from llm_export.checkpoints.cache import cache_dir
from llm_export.errors import InputError
from llm_export.files import bytes_of
from llm_export.stage_cache.store import Cache

SIZE = "LLM_EXPORT_CACHE_SIZE"
DEFAULT = "20GB"


def stages_folder() -> Path:
    """Folder of the stage cache, below $LLM_EXPORT_CACHE, which also holds downloads."""
    return cache_dir() / "stages"


def size_limit() -> int:
    """Size limit in bytes, from $LLM_EXPORT_CACHE_SIZE; 0 turns the cache off.

    Raises:
        InputError: it is no size.
    """
    text = os.environ.get(SIZE) or DEFAULT
    limit = bytes_of(text)
    if limit is None:
        raise InputError(f"'{text}' is no size", where=SIZE, fix=f"{SIZE}=20GB, or 0 for no cache")
    return limit


def open_cache() -> Cache | None:
    """The user's cache; None where its limit is 0.

    Raises:
        InputError: the limit is no size.
    """
    limit = size_limit()
    return Cache(stages_folder(), limit) if limit else None
