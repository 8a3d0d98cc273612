"""Open files of the cache, whatever lies in their place: a FIFO would block for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def opened(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no file", str(path))
    return os.fdopen(descriptor, "rb")


def text_of(path: Path) -> str:
    """Raises OSError as ``opened`` does, and ValueError if it is not UTF-8."""
    with opened(path) as file:
        return file.read().decode("utf-8")
