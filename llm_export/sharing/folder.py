"""Read a folder or a single recipe into memory."""

from __future__ import annotations

import os
from pathlib import Path

from llm_export.errors import InputError
from llm_export.sharing.members import (
    Budget,
    Files,
    is_hidden,
    limit_of,
    require_distinct,
    require_name,
)  # fmt: skip


def read_folder(folder: Path) -> Files:
    """All files of a folder, hidden ones left out; links are refused, not followed.

    Raises:
        InputError: too many or too large files, a link, or a kind that no shared recipe holds.
    """
    files: Files = {}
    budget = Budget(str(folder))
    for root, folders, names in os.walk(folder):
        folders[:] = [d for d in sorted(folders) if not is_hidden(d)]
        for entry in [*folders, *sorted(names)]:
            path = Path(root) / entry
            name = path.relative_to(folder).as_posix()
            if is_hidden(name):
                continue
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InputError(f"the folder holds a link or device: {name!r}", where=str(folder))
            if path.is_dir():
                continue
            budget.file()
            require_name(name, str(folder))
            files[name] = read_bounded(path, name, budget)
    require_distinct(files, str(folder))
    return files


def read_bounded(path: Path, name: str, budget: Budget) -> bytes:
    """Read a file within the limits of ``budget``.

    Raises:
        InputError: too large, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit_of(name) + 1)
    except OSError as error:
        raise InputError(f"a file cannot be read: {error.strerror}", where=str(path)) from None
    budget.take(name, len(data))
    return data


def read_single(path: Path) -> Files:
    """A recipe file by itself."""
    require_name(path.name, str(path))
    return {path.name: read_bounded(path, path.name, Budget(str(path)))}
