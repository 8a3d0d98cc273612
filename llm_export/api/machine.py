"""Backends available on this machine, package versions, and the stage cache."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from llm_export.errors import InputError, RecipeError, did_you_mean

if TYPE_CHECKING:
    from llm_export.arm.parts import Emulation
    from llm_export.checks.doctor import Diagnosis
    from llm_export.stage_cache.store import Cache, Entry

AGE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
"""Unit of an age -> seconds."""


@dataclass(frozen=True)
class CachedStages:
    """Cached stages, the least recently used first.

    Attributes:
        bytes: their size on disk; shared files count once.
        limit: size limit of the whole cache in bytes; 0 means that the cache is off.
    """

    entries: tuple[Entry, ...]
    bytes: int
    limit: int
    folder: Path


@dataclass(frozen=True)
class Cleared:
    """Number of stages removed, number kept because a run uses them, and bytes freed."""

    removed: int
    in_use: int
    bytes: int


@overload
def doctor(name: None = None, config_dir: str | None = None) -> Diagnosis: ...


@overload
def doctor(name: str, config_dir: str | None = None) -> dict[str, Any]: ...


def doctor(name: str | None = None, config_dir: str | None = None) -> Diagnosis | dict[str, Any]:
    """Report which backends this machine can lower for and run, what is missing, and how to install
    it.

    Args:
        name: one backend: report its options, attention kinds and schemes as plain data.

    Raises:
        RecipeError: there is no such backend.
    """
    from llm_export.checks.doctor import details_of, diagnose

    return diagnose(config_dir) if name is None else details_of(name)


def get_arm_emulation() -> Emulation:
    """Fetch ExecuTorch's libraries for Arm and compile the runner of ``verify.arm``, where they are
    not here yet.

    Raises:
        MissingDependencyError: no emulator, no compiler, or no network.
    """
    from llm_export.arm.parts import emulation

    return emulation(download=True)


def version() -> dict[str, str]:
    """Versions of llm_export, its dependencies and Python."""
    from llm_export.versions import machine, package_versions

    return {**package_versions(), "python": machine().python}


def cached_stages(
    stages: Sequence[str] = (), older_than: str | float | None = None
) -> CachedStages:
    """List cached stages.

    Args:
        stages: list only these stages; empty is all.
        older_than: list only stages last used longer ago than this: seconds, or 12h, 7d, ...

    Raises:
        RecipeError: there is no such stage, or the age cannot be parsed.
    """
    cache = _cache()
    chosen = _chosen(cache, stages, older_than)
    return CachedStages(tuple(chosen), cache.size(chosen), cache.limit, cache.folder)


def clear_cache(stages: Sequence[str] = (), older_than: str | float | None = None) -> Cleared:
    """Remove cached stages that no run is using. Arguments are those of ``cached_stages``.

    Raises:
        RecipeError: there is no such stage, or the age cannot be parsed.
    """
    cache = _cache()
    chosen = _chosen(cache, stages, older_than)
    before = cache.size(cache.entries())
    try:
        removed, in_use = cache.remove(chosen)
    except OSError as error:
        raise InputError(
            f"the cache cannot be changed: {error.strerror}", where=str(cache.folder),
            fix="LLM_EXPORT_CACHE=FOLDER of a cache that can",
        ) from None  # fmt: skip
    return Cleared(removed, in_use, before - cache.size(cache.entries()))


def _cache() -> Cache:
    from llm_export.stage_cache.settings import size_limit, stages_folder
    from llm_export.stage_cache.store import Cache

    return Cache(stages_folder(), size_limit())


def _chosen(cache: Cache, stages: Sequence[str], older_than: str | float | None) -> list[Entry]:
    from llm_export.runner.stages import STAGES

    names = [stage.name for stage in STAGES]
    for name in stages:
        if name not in names:
            raise RecipeError(
                f"there is no stage '{name}'", where="--stage", fix=did_you_mean(name, names)
            )
    before = time.time() - _seconds(older_than)
    return [e for e in cache.entries() if (not stages or e.stage in stages) and e.used <= before]


def _seconds(age: str | float | None) -> float:
    if not isinstance(age, str):
        return age or 0.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age)
    if match is None:
        raise RecipeError(f"'{age}' is no age", where="--older-than", fix="e.g. 30m, 12h, 7d or 2w")
    return float(match[1]) * AGE_UNITS[match[2]]
