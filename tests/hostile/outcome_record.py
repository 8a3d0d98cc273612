"""Count what became of hostile inputs, in the file that LLM_EXPORT_HOSTILE_RECORD names."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "LLM_EXPORT_HOSTILE_RECORD"


def record(group: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Add ``counts`` (kind -> tried, held, refused) to the file's; nothing without the variable.

    Kinds are named ``group: kind`` in the file.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return
    with Path(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = Path(name)
        known = json.loads(file.read_text()) if file.is_file() else {}
        for kind, found in counts.items():
            entry = known.setdefault(f"{group}: {kind.replace('_', ' ')}", {})
            for key, count in found.items():
                entry[key] = entry.get(key, 0) + count
        file.write_text(json.dumps(known, indent=1, sort_keys=True))
