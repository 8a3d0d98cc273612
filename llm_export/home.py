"""The user's own folders, on machines that know no home directory too.

A container that runs as a user of another machine has no entry in /etc/passwd, and often no HOME.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """``~`` expanded where there is a home directory; otherwise the path as it is."""
    return Path(os.path.expanduser(path))


def own_folder(below: str, variable: str) -> Path:
    """A folder of this user: ``$variable/llm_export``, else ``~/BELOW/llm_export``.

    Without a home directory, or with one that cannot be written, it is a folder for temporary
    files, of this user alone. Where that cannot be either, it is a path that cannot be created.

    Args:
        below: such as ``.cache``.
        variable: the environment variable of the XDG base directory specification.
    """
    base = os.environ.get(variable)
    if base:
        return Path(base) / "llm_export"
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        folder = Path(home, below, "llm_export")
        existing = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
        if existing == folder or os.access(existing, os.W_OK | os.X_OK):
            return folder
    return _temporary() or Path(os.devnull) / "llm_export"


def is_temporary(folder: Path) -> bool:
    """Whether ``own_folder`` found no place that lasts."""
    return folder == Path(tempfile.gettempdir(), f"llm_export-{os.geteuid()}")


def _temporary() -> Path | None:
    """None if it cannot be made, or if someone else, who could put files there, has the name."""
    folder = Path(tempfile.gettempdir(), f"llm_export-{os.geteuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(facts.st_mode) and not facts.st_mode & 0o022
    return folder if private and facts.st_uid == os.geteuid() else None
