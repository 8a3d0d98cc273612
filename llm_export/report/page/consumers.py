"""Which apps and runtimes can load the bundle."""

from __future__ import annotations

from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Cell, Table


def table(found: Evidence) -> Table | None:
    """None: an earlier version did not compare the bundle with their contracts."""
    entries = found.manifest.get("consumers")
    if not entries:
        return None
    rows: list[list[Cell]] = [
        [name, "yes" if entry["good"] else "no", ", ".join(entry["failed"])]
        for name, entry in entries.items()
    ]
    return Table(["app or runtime", "loads it", "what it lacks"], rows, words=3)
