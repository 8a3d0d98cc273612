"""Names of an archive's members that must not become files."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath


def leads_out(name: str) -> bool:
    """Whether a name leads out of the folder that an archive is unpacked in, on any system."""
    parts = name.replace("\\", "/").split("/")
    drive = parts[0].endswith(":") or parts[0][1:2] == ":"  # C:/x, and C:x of that drive's folder
    return name.startswith(("/", "\\")) or ".." in parts or drive or "\0" in name


def collision(names: Iterable[str]) -> str | None:
    """What is wrong with names that cannot lie in one folder: two are equal on a file system that
    ignores case or the form of accents, or one is a file and a folder of another. None: nothing.
    """
    seen: dict[str, str] = {}
    for name in names:
        former = seen.setdefault(_folded(name), name)
        if former != name:
            return f"two files have one name: {former!r} and {name!r}"
    for name in seen.values():
        for parent in PurePosixPath(_folded(name)).parents:
            if (file := seen.get(str(parent))) is not None:
                return f"a name is of a file and of a folder: {file!r} and {name!r}"
    return None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
