"""A benchmark as text: a table, JSON, JSON Lines, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from runtime_py.benchmark.words import (
    DISTURBED,
    Result,
    aligned,
    combinations,
    disturbed,
    markdown,
    table,
    tests_of,
)

Form = Callable[[Result], str]


def text(result: Result, form: str) -> str:
    """The text, without a line feed at its end.

    Args:
        form: one of ``FORMATS``.
    """
    return FORMATS[form](result)


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """One flat row for each combination: what it was, where, and its figures."""
    machine = result["machine"]
    for test in tests_of(result):
        row: dict[str, Any] = {"bundle": result["bundle"], "processor": machine["processor"]}
        for name, value in test.items():
            if isinstance(value, Mapping):
                row |= {f"{name}.{key}": v for key, v in value.items() if key != "samples"}
            else:
                row[name] = value
        row["load_seconds"] = result["load_seconds"]
        for name in ("peak", "steady", "bare"):
            row[f"{name}_memory_bytes"] = result.get(f"{name}_memory_bytes")
        row["weight_bytes"], row["cache_bytes"] = (
            result.get("weight_bytes"),
            result.get("cache_bytes"),
        )
        row["bandwidth_bytes_per_second"] = (result.get("bandwidth") or {}).get("bytes_per_second")
        row[DISTURBED] = disturbed(result)
        yield row


def _table(result: Result) -> str:
    settings, tests = result["settings"], tests_of(result)
    depth = f" at depth {settings['depth']}" if settings.get("depth") else ""
    head = (
        f"{result['machine']['processor']}, {settings['threads']} threads; "
        f"{settings['prompt_length']} prompt, {settings['decode_length']} decoded tokens{depth}; "
        f"{settings['repetitions']} repetitions: median (range)"
    )
    lines = [head, "", *(f"{name:<20} {value}" for name, value in table(result))]
    if len(tests) > 1:
        mark = f", {DISTURBED}" if disturbed(result) else ""
        lines += ["", f"All combinations: mean ± standard deviation{mark}", ""]
        lines += aligned(combinations(result))
    return "\n".join(lines)


def _markdown(result: Result) -> str:
    about = [f"{name}: {value}" for name, value in table(result)]
    head = f"{result['machine']['processor']}; mean ± standard deviation"
    mark = f" ({DISTURBED})" if disturbed(result) else ""
    every = markdown(combinations(result))
    return "\n".join([f"{head}{mark}", "", *every, "", *(f"- {line}" for line in about)])


def _csv(found: Iterable[Mapping[str, Any]]) -> str:
    """Rows with the same keys, their head first."""
    made = list(found)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(made[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(made)
    return out.getvalue().rstrip("\n")


def formats(
    table: Form, markdown: Form, rows: Callable[[Result], Iterable[Mapping[str, Any]]]
) -> dict[str, Form]:
    """Name -> form of a result.

    Args:
        rows: flat ones with the same keys, for JSON Lines and CSV.
    """
    return {
        "table": table,
        "json": lambda result: json.dumps(result, indent=2),
        "jsonl": lambda result: "\n".join(json.dumps(row) for row in rows(result)),
        "csv": lambda result: _csv(rows(result)),
        "markdown": markdown,
    }


FORMATS = formats(_table, _markdown, rows)
