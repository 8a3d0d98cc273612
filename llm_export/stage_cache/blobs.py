"""Content-addressed files: digests, and copy-on-write copies where the file system has them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llm_export.stage_cache.regular import opened

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
    """Raises Damaged if the file cannot be read."""
    digest, size = hashlib.sha256(), 0
    with _opened(path) as file:
        while block := _read(file, path):
            digest.update(block)
            size += len(block)
    return Blob(digest.hexdigest(), size)


def duplicate(source: Path, target: Path) -> None:
    """Make an independent copy (copy-on-write where possible); never a hard link.

    Raises:
        Damaged: the source cannot be read.
        OSError: the target cannot be written.
    """
    with _opened(source) as there, target.open("wb") as here:
        with contextlib.suppress(OSError):
            fcntl.ioctl(here, _FICLONE, there.fileno())
            return
        while block := _read(there, source):
            here.write(block)


def _opened(source: Path) -> BinaryIO:
    try:
        return opened(source)
    except OSError as error:
        raise Damaged(source, _what(error)) from None


def _read(file: BinaryIO, source: Path) -> bytes:
    try:
        return file.read(_BLOCK)
    except OSError as error:
        raise Damaged(source, _what(error)) from None


def _what(error: OSError) -> str:
    missing = isinstance(error, FileNotFoundError)
    return "a file is missing" if missing else f"a file cannot be read: {error.strerror}"


def remove(path: Path) -> None:
    """Remove whatever is there, as far as that is possible."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def copy_checked(source: Path, target: Path, expected: Blob) -> None:
    """Copy, then compare what was read.

    Raises:
        Damaged: the source cannot be read or has another sha256.
        OSError: the target cannot be written.
    """
    duplicate(source, target)
    if digest_of(target) != expected:
        target.unlink()
        raise Damaged(source, "a file has another sha256")
