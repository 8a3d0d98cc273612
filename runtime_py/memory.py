"""Resident memory of this process: now, and at its peak."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def resident() -> int:
    """Resident memory now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def reset_peak() -> bool:
    """Begin a new peak; False where the system does not allow it."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _STATUS.is_file()


def peak() -> int:
    """Peak resident memory since the last reset, or since the process began, in bytes.

    /proc is preferred to getrusage, whose value survives exec and would be that of the parent
    process.
    """
    import resource

    try:
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(found if sys.platform == "darwin" else found * 1024)
