"""Content-addressed files: digests, and copy-on-write copies where the file system has them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
_FICLONE = 0x40049409
"""Linux: let two files share their blocks until one is written to (btrfs, xfs)."""


@dataclass(frozen=True)
class Blob:
    sha256: str
    bytes: int


class Damaged(Exception):
    """A cached file is missing or its content has changed.

    Attributes:
        path: the damaged file of the cache.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        super().__init__(what)


def digest_of(path: Path) -> Blob:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return Blob(digest.hexdigest(), size)


def duplicate(source: Path, target: Path) -> None:
    """Make an independent copy (copy-on-write where possible); never a hard link."""
    with source.open("rb") as there, target.open("wb") as here:
        with contextlib.suppress(OSError):
            fcntl.ioctl(here, _FICLONE, there.fileno())
            return
        while block := there.read(_BLOCK):
            here.write(block)


def copy_checked(source: Path, target: Path, expected: Blob) -> None:
    """Copy, then compare what was read.

    Raises:
        Damaged: the source is missing or has another sha256; nothing is left at ``target``.
    """
    try:
        duplicate(source, target)
    except FileNotFoundError:
        raise Damaged(source, "a file is missing") from None
    if digest_of(target) != expected:
        target.unlink()
        raise Damaged(source, "a file has another sha256")
