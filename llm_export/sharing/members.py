"""Limits on the files of a shared recipe: names, kinds, sizes and number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from llm_export.bundle.roles import ROLES
from llm_export.config.plain_yaml import MAX_BYTES
from llm_export.errors import InputError
from runtime_py.archive_names import collision

MAX_FILES = 200
MAX_FILE = 8_000_000
MAX_TOTAL = 32_000_000
_DEPTH = 4
_PART = re.compile(r"[\w +@=,()-][\w. +@=,()-]*")
SUFFIXES = (".yaml", ".yml", ".md", ".json", ".txt")
PAGE = ROLES["page"]
"""The one page. It goes along for who reads the recipe at its place; ``get`` leaves it there,
because someone else's page may hold any script."""
_LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)([-_]\w+)*")
PATTERNS = [
    *(f"*{suffix}" for suffix in SUFFIXES),
    "LICENSE*",
    "LICENCE*",
    "COPYING*",
    "NOTICE*",
    PAGE,
]
"""The same as globs, for what filters by these."""
_FIX = f"a shared recipe holds {', '.join(SUFFIXES)} and a licence; llm-export share makes one"

Files = dict[str, bytes]
"""Relative name -> content; at most MAX_TOTAL bytes, so that memory can hold them."""


@dataclass
class Budget:
    """Counts files and bytes read from a source, and raises when a limit is exceeded.

    Args:
        where: names the source in errors.
    """

    where: str
    files: int = 0
    total: int = 0
    entries: int = 0

    def entry(self) -> None:
        """Raises InputError: there are too many entries, folders and hidden files included."""
        self.entries += 1
        if self.entries > 10 * MAX_FILES:
            raise InputError(
                f"there are more than {10 * MAX_FILES} entries", where=self.where, fix=_FIX
            )

    def file(self) -> None:
        """Raises InputError: there are too many files."""
        self.files += 1
        if self.files > MAX_FILES:
            raise InputError(f"there are more than {MAX_FILES} files", where=self.where, fix=_FIX)

    def take(self, name: str, size: int) -> None:
        """Raises InputError: the file, or all of them, are too large. ``size`` is in bytes."""
        limit = limit_of(name)
        self.total += size
        if size > limit or self.total > MAX_TOTAL:
            what = f"{name} is" if size > limit else "the files are together"
            most = limit if size > limit else MAX_TOTAL
            raise InputError(
                f"{what} larger than {most / 1e6:.0f} MB", where=self.where, fix=_FIX
            )  # fmt: skip


def limit_of(name: str) -> int:
    """Maximum bytes of a file with this name."""
    return MAX_BYTES if name.endswith((".yaml", ".yml")) else MAX_FILE


def is_hidden(name: str) -> bool:
    """Files that are nobody's content: .git, .gitattributes, __MACOSX."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def require_name(name: str, where: str) -> None:
    """Make sure that a name stays in the folder and is of a known kind.

    Raises:
        InputError: it is absolute, climbs, is unusual, or of another kind.
    """
    problem = _problem(name)
    if problem:
        raise InputError(f"{problem}: {name[:120]!r}", where=where, fix=_FIX)


def _problem(name: str) -> str | None:
    parts = name.split("/")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "a file has an absolute name"
    if ".." in parts or ".." in name.split("\\"):
        return "a file's name leads out of the folder"
    if len(name) > 200 or len(parts) > _DEPTH or not all(_PART.fullmatch(p) for p in parts):
        return "a file has a name that is not plain"
    if not is_known(name):
        return "a file is of a kind that no shared recipe holds"
    if len(parts) > 1 and name.endswith((".yaml", ".yml")):
        return "a recipe must lie at the top and carry its own values, not in a folder"
    return None


def is_known(name: str) -> bool:
    """Whether a file is of a kind that a shared recipe may hold."""
    last = PurePosixPath(name).name
    return name == PAGE or last.endswith(SUFFIXES) or _LICENCE.fullmatch(last) is not None


def require_distinct(names: Iterable[str], where: str) -> None:
    """Raise InputError if two names are equal on a file system that ignores case or the form of
    accents, or if one is a file and a folder of another."""
    if (wrong := collision(names)) is not None:
        raise InputError(wrong, where=where)


def without_top(files: Files) -> Files:
    """Without the one folder that everything lies in, as archives of repositories have it."""
    tops = {name.split("/", 1)[0] for name in files}
    if len(tops) != 1 or any("/" not in name for name in files):
        return files
    return {name.split("/", 1)[1]: data for name, data in files.items()}
