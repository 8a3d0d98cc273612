"""Digests of plugins, for cache keys and lock files."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from llm_export.config.schema import Recipe
from llm_export.models.task import task_name
from llm_export.plugins.active import folders_in_use
from llm_export.plugins_registration import REGISTRIES
from llm_export.registry import OWN

_FILES = (
    ".py", ".so", ".pyd", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".txt", ".jinja", ".css",
    ".js", ".mjs",
)  # fmt: skip


def used_by(recipe: Recipe, *, reads_checkpoint: bool) -> list[list[Any]]:
    """[kind, name, origin, versions, source digest] of every plugin entry that the recipe uses.

    Args:
        reads_checkpoint: whether weights come from files; then all checkpoint readers count as
            used.
    """
    called = {
        "families": [recipe.model.family],
        "tasks": [task_name(recipe.model)],
        "task_families": [recipe.model.family],
        "backends": [recipe.backend.name, *recipe.backend.fallbacks],
        "transforms": recipe.runtime.transforms,
        "checkpoint_readers": REGISTRIES["checkpoint_readers"] if reads_checkpoint else [],
    }
    return [entry for kind, names in called.items() for entry in of_plugins(kind, names)]


def of_plugins(kind: str, names: Iterable[str] | None = None) -> list[list[Any]]:
    """[kind, name, origin, versions, source digest] of the entries that are of plugins.

    Args:
        names: None is all that there are.
    """
    registry = REGISTRIES[kind]
    found: list[list[Any]] = []
    for name in registry if names is None else names:
        if name in registry and (origin := registry.origin(name)) != OWN:
            module = registry.target(name).partition(":")[0]
            versions = _required(origin.partition(" ")[0])
            found.append([kind, name, origin, versions, source_digest(module)])
    return found


def source_digest(module: str) -> str:
    """Digest of all source of the outermost package (not namespace package) of a module. A module
    without package: its file, and in a user's plugin folder the files next to it."""
    place = _place(module)
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if file.suffix in _FILES and file.is_file():
            digest.update(file.relative_to(place.parent).as_posix().encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _place(module: str) -> Path:
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:count]))
        if spec is not None and spec.origin is not None:
            file = Path(spec.origin)
            whole = spec.submodule_search_locations is not None or file.parent in folders_in_use()
            return file.parent if whole else file
    raise FileNotFoundError(2, "no such module", module)


def _required(distribution: str) -> dict[str, str]:
    """Versions of a distribution's dependencies."""
    try:
        lines = requires(distribution) or []
    except (PackageNotFoundError, ValueError):  # a folder
        return {}
    found = {}
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if name is not None:
            try:
                found[name[0]] = version(name[0])
            except PackageNotFoundError:
                continue
    return found
