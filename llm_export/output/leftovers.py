"""What building leaves in a project: not sealed, and kept when the project is written anew."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path


def is_leftover(name: str, patterns: Collection[str]) -> bool:
    """Whether a path, with ``/`` between its parts, matches one of the shell patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def keep_leftovers(former: Path, folder: Path, patterns: Collection[str]) -> None:
    """Move what matches from a former project to the same place of its successor, where that has
    nothing there. What cannot be moved is built again."""
    for place, folders, files in os.walk(former):
        for name in [*folders, *files]:
            path = Path(place, name)
            own = path.relative_to(former)
            if not is_leftover(own.as_posix(), patterns):
                continue
            if name in folders:
                folders.remove(name)
            if (folder / own).parent.is_dir() and not os.path.lexists(folder / own):
                with contextlib.suppress(OSError):
                    os.rename(path, folder / own)
