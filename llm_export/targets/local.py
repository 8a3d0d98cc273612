"""This machine as a target: what is pushed is a copy in the cache's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from llm_export.errors import RecipeError, TargetError
from llm_export.home import own_folder
from llm_export.targets.base import Target, TargetKind


class LocalTarget(Target):
    def __init__(self, root: Path | None = None) -> None:
        self.address = "local"
        self.root = str((root or own_folder(".cache", "XDG_CACHE_HOME") / "target").absolute())

    def argv(self, script: str) -> list[str]:
        return ["sh", "-c", script]

    def put(self, local: Path, remote: str) -> None:
        self._copy(local, Path(remote))

    def get(self, remote: str, local: Path) -> None:
        self._copy(Path(remote), local)

    def _copy(self, source: Path, destination: Path) -> None:
        try:
            shutil.copyfile(source, destination)
        except OSError as error:
            raise TargetError(
                f"{source} cannot be copied: {error.strerror}", where=str(destination)
            ) from None


def _open(rest: str) -> Target:
    if rest:
        raise RecipeError(f"'local:{rest}' is no target", fix="--target local")
    return LocalTarget()


TARGET = TargetKind("local", _open)
"""This machine."""
