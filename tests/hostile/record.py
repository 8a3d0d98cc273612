"""Count what hostile tests tried, into the JSON file that ``LLM_EXPORT_HOSTILE_COUNTS`` names."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

VARIABLE = "LLM_EXPORT_HOSTILE_COUNTS"


def note(kind: str, *, held: int = 0, refused: int = 0) -> None:
    """Add to the counts of ``kind``, such as ``paths of outputs``; several processes may.

    Args:
        held: cases in which the program did its work in spite of the trouble.
        refused: cases in which it said what is wrong, and changed nothing.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return
    file = Path(name)
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        counts = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        of = counts.setdefault(kind, {"tried": 0, "held": 0, "refused": 0})
        of["tried"] += held + refused
        of["held"] += held
        of["refused"] += refused
        file.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
