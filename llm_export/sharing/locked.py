"""Reproduce a bundle from its lock, and check that the program is the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.checkpoints.locate import locate
from llm_export.config.plain_yaml import read_plain
from llm_export.config.recipe_source import is_lock, locked_recipe, recipe_file
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.errors import MissingDependencyError, RecipeError, VerificationError
from llm_export.files import sha256_of
from llm_export.home import expanded
from llm_export.stage_cache.file_digests import checkpoint_files
from llm_export.versions import PACKAGES, machine, package_versions

ALLOW = "--allow-different"
_OPTIONAL = frozenset({"torchtune", "datasets"})
"""Packages that only few recipes use; if one is not installed, that is no difference."""
_PLATFORM = ("system", "architecture", "python")
_FREE = ("out", "checkpoint", "verify", "benchmark", "evaluate", "deploy")
"""Keys that do not affect the program, or that the checkpoint's hashes already cover."""


@dataclass(frozen=True)
class Difference:
    """Value in the lock, and value on this machine; None is absent."""

    what: str
    locked: str | None
    here: str | None

    def __str__(self) -> str:
        return f"{self.what}: {self.locked or 'absent'} then, {self.here or 'absent'} now"


@dataclass(frozen=True)
class Lock:
    """A lock file.

    Attributes:
        versions: package -> version.
        platform: system, architecture, python, cpu.
        checkpoint: weight file -> sha256.
        files: file of the bundle -> sha256.
    """

    path: Path
    versions: dict[str, str]
    platform: dict[str, str]
    checkpoint: dict[str, str]
    files: dict[str, str]


def read_lock(source: str | None) -> Lock | None:
    """The lock that ``source`` names; None if it is a recipe.

    Raises:
        RecipeError, InputError: the file is damaged or of a later format.
    """
    path = recipe_file(source)
    if path is None:
        return None
    body = read_plain(path)
    if not is_lock(body):
        return None
    locked_recipe(body, str(path))
    parts = ("versions", "platform", "checkpoint", "files")
    return Lock(path, *(_words(body, part, path) for part in parts))


def refuse_lock(source: str | None, verb: str) -> None:
    """
    Raises:
        RecipeError: ``source`` is a lock, or a file that is damaged.
        InputError: the file is of a later format.
    """
    if read_lock(source) is not None:
        raise RecipeError(
            f"a lock is of one program, and a {verb} makes several", where=source,
            fix=f"{verb} recipe.yaml",
        )  # fmt: skip


def _words(body: dict[str, Any], part: str, path: Path) -> dict[str, str]:
    found = body.get(part)
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise RecipeError(
            f"the lock's '{part}' is not a mapping of names to text", where=str(path),
            fix="take the lock of a bundle as it was written",
        )  # fmt: skip
    return found


def require_same(lock: Lock, recipe: Recipe, overrides: list[str], allow: bool) -> list[str]:
    """Compare overrides, versions, platform and checkpoint with the lock, before any work.

    Args:
        allow: differences are returned instead of raised.

    Returns:
        a line for each difference.

    Raises:
        RecipeError: an override changes the program.
        MissingDependencyError: something pinned differs.
        InputError: the checkpoint is not there.
    """
    changing = [o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0] not in _FREE]
    if changing and not allow:
        raise RecipeError(
            "a lock says everything, and an override would change it",
            where=f"override {changing[0]}",
            fix=f"run recipe.yaml instead, or add {ALLOW}",
        )
    found = [*_environment(lock), *_checkpoint(lock, recipe.checkpoint)]
    lines = [f"override: {o}" for o in changing] + [str(d) for d in found]
    if found and not allow:
        raise MissingDependencyError(
            f"what the lock pins differs here in {len(found)} places:\n"
            + "\n".join(f"  - {difference}" for difference in found),
            where=str(lock.path),
            fix=f"{_install(found)}{ALLOW} runs it all the same",
        )
    return lines


def _environment(lock: Lock) -> list[Difference]:
    here = package_versions()
    found = [
        Difference(name, version, here.get(name))
        for name, version in lock.versions.items()
        if here.get(name) != version and not (name in _OPTIONAL and name not in here)
    ]
    facts = machine()
    for key in _PLATFORM:
        locked, now = lock.platform.get(key), str(getattr(facts, key))
        if key == "python" and locked:  # bytecode and libraries are of a minor version
            locked, now = (".".join(v.split(".")[:2]) for v in (locked, now))
        if locked != now:
            found.append(Difference(key, locked, now))
    return found


def _install(found: list[Difference]) -> str:
    """The words that install what differs. A lock may be anyone's: only known names of
    packages and plain versions get into a line that is meant to be copied."""
    words = [
        f"{d.what}=={d.locked.split('+')[0]}"
        for d in found
        if d.locked and d.what in PACKAGES and re.fullmatch(r"[0-9][\w.+]*", d.locked)
    ]
    words = [word for word in words if not word.startswith("llm_export==")]
    return f"pip install {' '.join(words)}; " if words else ""


def _checkpoint(lock: Lock, source: CheckpointConfig) -> list[Difference]:
    if not lock.checkpoint:
        return []
    path = locate(source)
    files = [] if path is None else checkpoint_files(path)
    if source.adapter is not None:
        files += checkpoint_files(expanded(source.adapter))
    wanted = {file.name: file for file in files if file.name in lock.checkpoint}
    found = []
    for name, digest in lock.checkpoint.items():
        here = sha256_of(wanted[name]) if name in wanted else None
        if here != digest:
            found.append(Difference(f"checkpoint {name}", digest, here))
    return found


def compare_outcome(lock: Lock, bundle: Path, known: list[str], reused: bool, allow: bool) -> str:
    """Compare the bundle's files with the lock. Returns one line with the result.

    Args:
        known: differences that ``require_same`` let pass.
        reused: whether the program came from the cache of stages.

    Raises:
        VerificationError: they differ, and that was not allowed.
    """
    different = [name for name, sha in lock.files.items() if _digest(bundle / name) != sha]
    if not different:
        how = "; it came from the cache, --no-cache builds it anew" if reused else ""
        return f"the same program, bit by bit: {', '.join(lock.files)}{how}"
    name = different[0]
    here = _digest(bundle / name) or "absent"
    cpu = machine().cpu
    if lock.platform.get("cpu") != cpu:
        known = [*known, str(Difference("cpu", lock.platform.get("cpu"), cpu))]
    reason = "; ".join(known) or "versions, platform and checkpoint are the same"
    if allow:
        digests = f"{name} has sha256 {here[:12]}, the lock {lock.files[name][:12]}"
        return f"another program: {digests}; {reason}"
    raise VerificationError(
        f"this is another program: {name} has sha256 {here}, the lock says {lock.files[name]}",
        where=f"{bundle} ({reason})",
        fix=f"the bundle is kept; {ALLOW} accepts it",
    )


def _digest(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
