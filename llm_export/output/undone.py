"""Leave a folder as it was if what adds to it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def undone_on_failure(folder: Path) -> Iterator[None]:
    """Context that removes the files and folders that were added to ``folder``, if it is left with
    an exception."""
    before = set(folder.rglob("*"))
    try:
        yield
    except BaseException:
        for path in sorted(set(folder.rglob("*")) - before, reverse=True):  # contents first
            with contextlib.suppress(OSError):  # the first error is the one to tell
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        raise
