"""Write a project whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from llm_export.deploy.base import Project
from llm_export.errors import InputError
from llm_export.output.leftovers import keep_leftovers
from llm_export.output.place import Named, folder_to_write
from llm_export.output.seal import PROJECT, foreign_part, write_seal
from llm_export.output.working import FORMER, put_in_place

NAMED = Named("the project folder")
_ROOM = 1.05


def require_place(
    folder: str | Path, bundles: Sequence[Path], leftovers: Collection[str] = ()
) -> Path:
    """The absolute path of the folder of a project.

    Args:
        bundles: folders, in which it may not lie.

    Raises:
        InputError: it cannot be written, or holds something else than an unchanged project.
    """
    full = folder_to_write(folder, NAMED)
    for bundle in bundles:
        if bundle.resolve() in full.resolve().parents:
            raise InputError(
                "the project folder lies in the bundle", where=str(folder), fix="another folder"
            )
    _require_ours(full, leftovers)
    return full


def write_project(project: Project, folder: Path, leftovers: Collection[str] = ()) -> None:
    """Write the files beside ``folder``, and rename them into place. A project that llm_export
    wrote there, and that nobody changed, is replaced; what building left in it is kept.

    Args:
        leftovers: shell patterns of what building leaves, as paths with ``/``.

    Raises:
        InputError: the folder holds something else, or the disk is full.
    """
    _require_room(project, folder.parent)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix=f".{folder.name[:60]}.partial-"
        ) as scratch:
            made = Path(scratch, "project")
            made.mkdir()
            _fill(made, project)
            write_seal(made, PROJECT)
            put_in_place(made, folder, NAMED, lambda there: _require_ours(there, leftovers))
            keep_leftovers(made.with_name(FORMER), folder, leftovers)
    except OSError as error:
        raise InputError(
            f"the project cannot be written: {error.strerror}", where=str(folder),
            fix="another folder, or more room",
        ) from None  # fmt: skip


def _fill(made: Path, project: Project) -> None:
    for name, source in project.copies.items():
        file = made / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, file)
    for name, content in project.files.items():
        file = made / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        if name in project.executable:
            file.chmod(0o755)


def _require_ours(folder: Path, leftovers: Collection[str]) -> None:
    if not os.path.lexists(folder):
        return
    found = foreign_part(folder, PROJECT, leftovers)
    if found is not None:
        raise InputError(
            f"the project folder {found}", where=str(folder),
            fix="choose another folder, or move that away; nothing was changed",
        )  # fmt: skip


def _require_room(project: Project, parent: Path) -> None:
    there = next(p for p in (parent, *parent.parents) if p.is_dir())
    needed = sum(file.stat().st_size for file in project.copies.values()) * _ROOM
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"the project needs {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            where=str(parent), fix="another disk",
        )  # fmt: skip
