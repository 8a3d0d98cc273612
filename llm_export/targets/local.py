"""This machine as a target: what is pushed is a copy in the cache's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from llm_export.checkpoints.cache import cache_dir
from llm_export.errors import RecipeError, TargetError
from llm_export.targets.base import Target, TargetKind


class LocalTarget(Target):
    def __init__(self, root: Path | None = None) -> None:
        self.address = "local"
        self.root = str((root or cache_dir() / "target").absolute())

    def argv(self, script: str) -> list[str]:
        return ["sh", "-c", script]

    def put(self, local: Path, remote: str) -> None:
        try:
            shutil.copyfile(local, remote)
        except OSError as error:
            raise TargetError(f"{local} cannot be copied: {error.strerror}", where=remote) from None


def _open(rest: str) -> Target:
    if rest:
        raise RecipeError(f"'local:{rest}' is no target", fix="--target local")
    return LocalTarget()


TARGET = TargetKind("local", _open)
"""This machine."""
