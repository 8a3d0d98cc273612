"""Resident memory of this process: now, and at its peak."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def resident() -> int:
    """Resident memory now, in bytes; the peak where the system does not tell (without /proc)."""
    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return peak()


def installed() -> int:
    """Memory of the machine, in bytes; 0 where the system does not tell."""
    try:
        return int(psutil.virtual_memory().total)
    except (psutil.Error, OSError):  # /proc/meminfo
        return _from_sysconf()


def available() -> int:
    """Memory of the machine that is not in use, in bytes; all of it where the system does not tell
    how much is."""
    try:
        return int(psutil.virtual_memory().available)
    except (psutil.Error, OSError):
        return _from_sysconf() or sys.maxsize


def _from_sysconf() -> int:
    try:
        return max(0, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return 0


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
