"""Leave a program's constants on disk until a step reads them.

ExecuTorch maps program files into memory and then locks the pages of each segment that it keeps,
if the process may. Locking reads them all, although a step needs a few rows of a table of
embeddings: per-layer embeddings alone are larger than the rest of a program.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_MAPS, _STATUS = Path("/proc/self/maps"), Path("/proc/self/status")
# Unlike MADV_DONTNEED it loses nothing if another thread has meanwhile put memory in that place.
_MADV_PAGEOUT = 21


@contextlib.contextmanager
def pages_on_demand(paths: Sequence[Path]) -> Iterator[None]:
    """Context in which files are mapped; they are not locked in memory afterwards.

    The limit on locked memory (RLIMIT_MEMLOCK) is set to 0 meanwhile. It does not bind privileged
    processes: what they have locked is unlocked and paged out. On systems other than Linux this
    does nothing.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    before = locked()
    with _no_locking():
        yield
    if locked() > before:
        unlock(paths)


@contextlib.contextmanager
def _no_locking() -> Iterator[None]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
    except (OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))


def locked() -> int:
    """Bytes of this process that are locked in memory; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmLck:"):
                return int(line.split()[1]) * 1024
    return 0


def unlock(paths: Sequence[Path]) -> int:
    """Unlock the pages of all mappings of these files and give them back to the system; they are
    read again when needed. Returns the bytes of the mappings.
    """
    total = 0
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        for start, size in _mappings(paths):
            here = ctypes.c_void_p(start), ctypes.c_size_t(size)
            libc.munlock(*here)
            libc.madvise(*here, _MADV_PAGEOUT)
            total += size
    return total


def _mappings(paths: Sequence[Path]) -> Iterator[tuple[int, int]]:
    """(address, bytes) of the read-only shared mappings of these files."""
    files = {(s.st_dev, s.st_ino) for s in (os.stat(path) for path in paths)}
    for line in _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        place, access, _, device, inode, *_ = line.split(maxsplit=5)
        major, minor = (int(part, 16) for part in device.split(":"))
        # A private mapping may have been changed, and its changes would be lost.
        if access.endswith("s") and (os.makedev(major, minor), int(inode)) in files:
            start, end = (int(part, 16) for part in place.split("-"))
            yield start, end - start
