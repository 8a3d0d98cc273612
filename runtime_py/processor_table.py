"""The kernel's description of the processor, without which ExecuTorch ends the process.

ExecuTorch sizes its thread pool with the library cpuinfo, which on Linux reads /proc/cpuinfo.
Where it cannot, ``get_threadpool`` returns a null pointer that operators use (executorch 1.5,
extension/threadpool/threadpool.cpp).
"""

from __future__ import annotations

import sys
from pathlib import Path

FILE = Path("/proc/cpuinfo")


def obstacle_to_threads() -> str:
    """Why no program can run in this process; empty if nothing stands against it."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        with FILE.open("rb") as opened:
            return "" if opened.read(1) else f"{FILE} is empty"
    except OSError as error:
        return f"{FILE} cannot be read: {error.strerror}"
