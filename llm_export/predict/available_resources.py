"""Check free memory and disk space before a run."""

from __future__ import annotations

import shutil
from pathlib import Path

from llm_export.amounts import amount
from llm_export.errors import MissingDependencyError
from llm_export.predict.cost import Prediction

_SLACK = 0.9
"""Less than this share of what is expected is too little: expectations are not exact."""


def free_disk(folder: Path) -> int:
    """Bytes on the disk where ``folder`` is, or will be."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    return shutil.disk_usage(existing).free


def require_room(prediction: Prediction, *, memory: int, disk: int, folder: Path) -> None:
    """Args:
        memory, disk: bytes that there are.
        folder: where files will be.

    Raises:
        MissingDependencyError: there is less than the run will need; it says of what, and how much.
    """
    off = "--no-limits tries all the same"
    if memory < prediction.memory * _SLACK:
        raise MissingDependencyError(
            f"the run needs about {amount(prediction.memory)} of memory; {amount(memory)} are free",
            where="memory of this machine, or of its container",
            fix=f"end other programs, or take a smaller model; {off}",
        )
    if disk < prediction.disk * _SLACK:
        raise MissingDependencyError(
            f"the run needs about {amount(prediction.disk)} of disk{_mostly(prediction)}; "
            f"{amount(disk)} are free",
            where=str(folder),
            fix=f"out=FOLDER on another disk, or free some space; {off}",
        )


def _mostly(prediction: Prediction) -> str:
    """What most of the disk is for, unless it is the program, which is written twice."""
    rest = prediction.disk - 2 * prediction.program
    if rest < prediction.disk / 2:
        return ""
    return (
        f", {amount(rest)} of it for weights that are fetched, or that a large model keeps in "
        f"files instead of memory while it is made"
    )
