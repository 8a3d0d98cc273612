"""One writer at a time: a lock file beside the output.

The file exists while a writer holds it: whoever holds the lock unlinks it before letting go. A
process that opened it before that gets a lock on a file without a name, which protects nothing, so
it compares the file that it has locked with the one that has the name now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Busy(Exception):
    """Another process, or another writer of this one, holds the lock."""


class PathLock:
    """An exclusive lock named by a path; the folder of the path exists.

    Raises:
        Busy: someone else holds it.
        OSError: the file cannot be made or locked, or is no lock file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        while True:
            self._file = os.open(path, _FLAGS, 0o644)
            try:
                _require_lock_file(self._file, path)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._has_the_name():
                    return
            except BlockingIOError:
                os.close(self._file)
                raise Busy from None
            except BaseException:
                os.close(self._file)
                raise
            os.close(self._file)  # its holder has unlinked it meanwhile

    def release(self) -> None:
        """Remove the file and let go; harmless after the first time."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            if self._has_the_name():
                os.unlink(self.path)
        os.close(self._file)
        self._file = -1

    def _has_the_name(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), os.lstat(self.path))
        except FileNotFoundError:
            return False


def _require_lock_file(file: int, path: Path) -> None:
    """A user's own file of that name must not be removed."""
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size:
        raise FileExistsError(0, f"{path.name} is no lock file", str(path))
