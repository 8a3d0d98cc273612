"""Mount points, bind mounts included."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")


def is_mount_point(folder: Path) -> bool:
    """Whether something is mounted on a folder.

    ``os.path.ismount`` compares devices, which a bind mount within one device does not change; on
    Linux the kernel's table tells, where it can be read (proc_pid_mountinfo(5)).
    """
    if os.path.ismount(folder):
        return True
    try:
        lines = os.fsencode(_TABLE.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return False
    wanted = os.fsencode(folder.resolve())
    places = (fields[4] for line in lines.splitlines() if len(fields := line.split(b" ")) > 4)
    return any(_unescaped(place) == wanted for place in places)


def _unescaped(place: bytes) -> bytes:
    """Spaces, tabs, newlines and backslashes are octal there."""
    return re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), place)
