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
_CAPABILITY_VERSION_3, _CAP_IPC_LOCK = 0x20080522, 14  # linux/capability.h


@contextlib.contextmanager
def pages_on_demand(paths: Sequence[Path]) -> Iterator[None]:
    """Context in which files are mapped; they are not locked in memory afterwards.

    The limit on locked memory (RLIMIT_MEMLOCK) is set to 0 meanwhile, and this thread is without
    the capability that exempts it. Where that is not possible, what has been locked is unlocked and
    paged out, which the first step then reads from the disk again. On systems other than Linux this
    does nothing.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    before = locked()
    with _no_locking(), _unprivileged():
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


@contextlib.contextmanager
def _unprivileged() -> Iterator[None]:
    """Context in which this thread's effective capabilities (capabilities(7)) lack CAP_IPC_LOCK."""
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    had = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their higher halves
    bit = 1 << _CAP_IPC_LOCK
    if not hasattr(libc, "capset") or libc.capget(header, had) or not had[0] & bit:
        yield
        return
    libc.capset(header, (ctypes.c_uint32 * 6)(had[0] & ~bit, *had[1:]))
    try:
        yield
    finally:
        libc.capset(header, had)


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
