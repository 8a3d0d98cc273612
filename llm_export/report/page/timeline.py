"""The stages of a run: when, how long, how much memory."""

from __future__ import annotations

from llm_export.pipeline.record import for_people
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Bar, Cell, Note, Table, seconds_text, share_of

RUNNING = "running"


def timeline(found: Evidence) -> Table | None:
    """A row for each stage, its bar where it ran; None without a record."""
    stages = [
        s for s in found.record.get("stages") or []
        if not s.get("skipped") and s.get("state") != RUNNING
    ]  # fmt: skip
    if not stages:
        return None
    whole = sum(s.get("seconds") or 0.0 for s in stages)
    most = max(s.get("peak_bytes") or 0 for s in stages)
    rows: list[list[Cell]] = []
    begun = 0.0
    for stage in stages:
        seconds, peak = stage.get("seconds") or 0.0, stage.get("peak_bytes") or 0
        reused = bool(stage.get("reused"))
        name = str(stage.get("name"))
        rows.append([
            Note(name, f"reused, made {for_people(str(stage.get('made')))}") if reused else name,
            Bar(seconds_text(seconds), share_of(seconds, whole), share_of(begun, whole),
                faint=reused),
            Bar(f"{peak / 1e9:.2f} GB", share_of(peak, most), tone=2),
            f"{stage.get('cpu_seconds') or 0.0:.1f}",
            str(stage.get("error") or (stage.get("facts") or {}).get("summary") or ""),
        ])  # fmt: skip
        begun += seconds
    return Table(
        ["stage", "time", "peak memory", "CPU s", "what it did"], rows, last_words=True,
        caption=f"{seconds_text(whole)} in all",
    )  # fmt: skip


def estimate(found: Evidence) -> str:
    """The estimate beside the outcome; '' without one."""
    said = found.record.get("prediction") or {}
    outcome = said.get("outcome")
    if not outcome:
        return ""
    return (
        f"Estimated before the run: {said['seconds']:.0f} CPU seconds and "
        f"{said['memory'] / 1e9:.2f} GB; it took {outcome['seconds']:.0f} CPU seconds and "
        f"{outcome['memory'] / 1e9:.2f} GB."
    )
