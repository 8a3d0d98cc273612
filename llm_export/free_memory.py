"""Memory that this process may still take."""

from __future__ import annotations

from pathlib import Path

from runtime_py.memory import available

_CGROUP = Path("/sys/fs/cgroup")


def available_memory(cgroup: Path | None = None) -> int:
    """Bytes that this process may still take: of the machine, and of its container."""
    free = available()
    cgroup = cgroup or _CGROUP
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - used))
