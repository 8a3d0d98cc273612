"""Speeds of artifacts beside each other, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llm_export.metrics.interval import LEVEL
from llm_export.runtimes.speeds import FIGURES
from runtime_py.benchmark.formats import formats
from runtime_py.benchmark.words import DISTURBED, aligned, disturbed, markdown

Result = Mapping[str, Any]
_WIDE = 100
"""A larger bound of an interval is not told: of few rounds on a busy machine."""


def text(result: Result, form: str) -> str:
    """The text, without a line feed at its end. ``form``: one of ``FORMATS``."""
    return FORMATS[form](result)


def table(result: Result) -> list[list[str]]:
    """A table, its head first, with a row for each artifact and combination."""
    head = ["", "prompt", "decode", "depth", "threads", "prefill, tokens/s", "ratio",
            "decode, tokens/s", "ratio", "start, s", "peak, MB", "file, MB"]  # fmt: skip
    rows = []
    for one in result["artifacts"]:
        for test in one["tests"]:
            rows.append([
                one["label"],
                *(str(test[key]) for key in ("prompt_length", "decode_length", "depth", "threads")),
                _speed(test[FIGURES[0]]), ratio_text(test["prefill_ratio"]),
                _speed(test[FIGURES[1]]), ratio_text(test["decode_ratio"]),
                f"{one['start_seconds']['median']:.1f}", f"{one['peak_memory_bytes'] / 1e6:.0f}",
                f"{one['bytes'] / 1e6:.0f}",
            ])  # fmt: skip
    # What is the same in all rows is said above the table.
    same = [i for i in (1, 2, 3, 4) if len({row[i] for row in rows}) == 1]
    return [[cell for i, cell in enumerate(row) if i not in same] for row in (head, *rows)]


def heading(result: Result) -> str:
    """What was measured, in a line."""
    first = next(test for one in result["artifacts"] for test in one["tests"])
    tests = [test for one in result["artifacts"] for test in one["tests"]]
    parts = []
    for key, said in (("prompt_length", "{} prompt tokens"), ("decode_length", "{} decoded"),
                      ("depth", "depth {}"), ("threads", "{} threads")):  # fmt: skip
        if len({test[key] for test in tests}) == 1 and (key != "depth" or first[key]):
            parts.append(said.format(first[key]))
    mark = f", {DISTURBED}: measure when idle" if disturbed(result) else ""
    return (
        f"{result['machine']['processor']}; {', '.join(parts)}; medians of {result['rounds']} "
        f"rounds in turns, ratios with {LEVEL:.0%} confidence intervals{mark}"
    )


def findings(result: Result) -> list[str]:
    """A sentence for each artifact but the first: which ratios differ significantly from 1."""
    ran = [one for one in result["artifacts"] if one["tests"]]
    lines = []
    for one in ran[1:]:
        said = []
        for test in one["tests"]:
            at = _at(test) if len(one["tests"]) > 1 else ""
            for figure in ("prefill", "decode"):
                ratio = test[f"{figure}_ratio"]
                if ratio and ratio["significant"]:
                    said.append(f"{figure}{at} is {ratio['value']:.2f} times as fast")
        if said:
            lines.append(f"{one['label']}: {'; '.join(said)} as {ran[0]['label']}")
        elif any(test["decode_ratio"] and test["decode_ratio"]["low"] for test in one["tests"]):
            lines.append(f"{one['label']}: no significant difference from {ran[0]['label']}")
    return lines


def skipped(result: Result) -> list[str]:
    """A line for each artifact that was not measured, and how to install what it needs."""
    return [
        f"{one['label']} skipped: {one['skipped']}"
        + (f"\n  install: {one['install']}" if one["install"] else "")
        for one in result["artifacts"]
        if one["skipped"]
    ]


def ratio_text(ratio: Mapping[str, Any] | None) -> str:
    """``*`` marks a significant one."""
    if ratio is None:
        return ""
    if ratio["low"] is None:
        return f"{ratio['value']:.2f}"
    mark = "*" if ratio["significant"] else ""
    high = f"{ratio['high']:.2f}" if ratio["high"] < _WIDE else f"over {_WIDE}"
    return f"{ratio['value']:.2f}{mark} ({ratio['low']:.2f} to {high})"


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """One flat row for each artifact and combination."""
    for one in result["artifacts"]:
        for test in one["tests"]:
            row: dict[str, Any] = {
                key: one[key] for key in ("label", "runtime", "path", "bytes", "peak_memory_bytes")
            }
            row["start_seconds"] = one["start_seconds"]["median"]
            row["processor"], row["rounds"] = result["machine"]["processor"], result["rounds"]
            for name, value in test.items():
                if name in FIGURES:
                    value = value or {}
                    row |= {f"{name}.{key}": value.get(key) for key in ("median", "mean", "stdev")}
                elif name.endswith("_ratio"):
                    value = value or {}
                    keys = ("value", "low", "high", "significant")
                    row |= {f"{name}.{key}": value.get(key) for key in keys}
                else:
                    row[name] = value
            row[DISTURBED] = disturbed(result)
            yield row


def _at(test: Mapping[str, Any]) -> str:
    depth = f" at depth {test['depth']}" if test["depth"] else ""
    return f" of {test['prompt_length']} + {test['decode_length']}{depth}"


def _speed(spread: Mapping[str, float] | None) -> str:
    return "" if spread is None else f"{spread['median']:.1f}"


def _table(result: Result) -> str:
    said = findings(result)
    marks = ["* significant"] if any("*" in cell for row in table(result) for cell in row) else []
    lines = [heading(result), "", *aligned(table(result), left=(0,)), ""]
    return "\n".join([*lines, *marks, *said]).rstrip()


def _markdown(result: Result) -> str:
    every = markdown(table(result), left=(0,))
    return "\n".join([heading(result), "", *every, "", *(f"- {s}" for s in findings(result))])


FORMATS = formats(_table, _markdown, rows)
