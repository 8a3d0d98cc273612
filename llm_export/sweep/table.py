"""The one table of a sweep, for sweep.md and for the terminal."""

from __future__ import annotations

from llm_export.sweep.state import DONE, Row

_COLUMNS = (
    (".pte MB", "pte_mb", "{:.1f}"),
    ("mean KL", "mean_kl", "{:.2g}"),
    ("top-1", "top1", "{:.4f}"),
    ("prefill", "prefill", "{:.0f}"),
    ("decode", "decode", "{:.1f}"),
)
UNITS = (
    "Mean KL in nats and top-1 agreement are the program's against the float32 model, prefill and "
    "decode are tokens/s, seconds are those of the run that made the bundle."
)
TOGETHER = "Variants ran at the same time: where they shared a machine, speeds are too low."


def table(rows: list[Row]) -> str:
    """Markdown, aligned so that it reads as text too; a summary says why a variant is not done."""
    keys = list(rows[0].swept)
    head = [*(keys or ["variant"]), "state", *(c[0] for c in _COLUMNS), "seconds", "reused"]
    lines = [_cells(row, keys) for row in rows]
    if any(row.error for row in rows):
        head.append("summary")
        for row, line in zip(rows, lines, strict=True):
            line.append(_escaped(row.error.line) if row.error else "")
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    if head[-1] == "summary":
        widths[-1] = len(head[-1])  # long, and the last: nothing stands to the right of it
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in (head, rule, *lines)
    )


def _cells(row: Row, keys: list[str]) -> list[str]:
    shown = [_escaped(row.swept[key]) for key in keys] or [row.name]
    found = [getattr(row.results, key, None) for _, key, _ in _COLUMNS]
    results = [
        "–" if value is None else form.format(value)
        for value, (_, _, form) in zip(found, _COLUMNS, strict=True)
    ]
    seconds = "–" if row.seconds is None else f"{row.seconds:.1f}"
    return [*shown, row.state, *results, seconds, row.reused]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def document(name: str, rows: list[Row], together: bool) -> str:
    """The text of sweep.md."""
    done = sum(row.state == DONE for row in rows)
    notes = UNITS + (f" {TOGETHER}" if together else "")
    return f"# {name}\n\n{done} of {len(rows)} variants are done.\n\n{table(rows)}\n\n{notes}\n"
