"""Speeds of artifacts in turns, as they are kept and as tables.

A record is one call of ``llm-export bench A B``: one prompt, decoded tokens and depth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.kept import Row
from llm_export.metrics.interval import LEVEL
from llm_export.runtimes.words import ratio_text
from runtime_py.benchmark.words import markdown

FIGURES = ("prefill", "decode")
Cell = Callable[[Row, str], str]


def record(name: str, result: Mapping[str, Any], provenance: Row, model: str) -> Row:
    """What is kept of a result of ``api.compare_speed`` with one combination."""
    ran = [one for one in result["artifacts"] if one["tests"]]
    first = ran[0]["tests"][0]
    conditions = result["conditions"] or {"other_cpus": None, "disturbed": False}
    return {
        "name": name,
        "model": model,
        **{key: first[key] for key in ("prompt_length", "decode_length", "depth", "threads")},
        "rounds": result["rounds"],
        "other_cpus": conditions["other_cpus"],
        "disturbed": conditions["disturbed"],
        "intervals": f"{LEVEL:.0%} confidence intervals",
        "artifacts": [_artifact(one) for one in ran],
        "note": None,
        **provenance,
    }


def _artifact(one: Mapping[str, Any]) -> Row:
    test = one["tests"][0]
    found: Row = {"label": one["label"], "bytes": one["bytes"], "peak": one["peak_memory_bytes"]}
    for figure in FIGURES:
        spread = test[f"{figure}_tokens_per_second"]
        keys = {"median": "median", "low": "min", "high": "max"}
        found[figure] = spread and {key: spread[name] for key, name in keys.items()}
        found[f"{figure}_ratio"] = test[f"{figure}_ratio"]
    return found


def session(one: Row) -> str:
    """A record with a row for each artifact; ratios are to the first."""
    base = one["artifacts"][0]["label"]
    prompt = f"{_prompt(one)} tok/s"
    head = [
        "",
        "MB",
        f"decode at {at(one):,} tok/s",
        f"to `{base}`",
        prompt,
        f"to `{base}`",
        "peak, MB",
    ]
    rows = [
        [
            f"`{artifact['label']}`",
            _megabytes(artifact["bytes"], ".1f"),
            speed_text(artifact["decode"]),
            ratio_text(artifact["decode_ratio"]),
            speed_text(artifact["prefill"]),
            ratio_text(artifact["prefill_ratio"]),
            _megabytes(artifact["peak"]),
        ]
        for artifact in one["artifacts"]
    ]
    shown = [at for at in range(len(head)) if not at or any(row[at].strip("–") for row in rows)]
    table = [[row[at] for at in shown] for row in (head, *rows)]
    return "\n".join([conditions([one]), "", *markdown(table, left=(0,)), ""])


def conditions(records: Sequence[Row]) -> str:
    """How records were measured: a paragraph for all that were measured alike."""
    alike: dict[str, list[Row]] = {}
    for one in records:
        alike.setdefault(_conditions(one), []).append(one)
    return "\n\n".join(said.format(busy=_busy(found)) for said, found in alike.items())


def _conditions(one: Row) -> str:
    """With a place for how busy the machine was."""
    cells = [(a[figure], a[f"{figure}_ratio"]) for a in one["artifacts"] for figure in FIGURES]
    shown = any(spread and spread["low"] not in (None, spread["high"]) for spread, _ in cells)
    parts = [
        f"{one['decode_length']} decoded tokens", f"{one['threads']} threads",
        f"medians of {one['rounds']} rounds in turns" + (" (least to most)" if shown else ""),
    ]  # fmt: skip
    ratios = [ratio for _, ratio in cells if ratio]
    if ratios:
        marked = " (* excludes 1)" if any(ratio["significant"] for ratio in ratios) else ""
        parts.append(f"ratios with {one['intervals']}{marked}")
    text = ", ".join(parts) + "{busy}"
    parts = [f"{name} {found}" for name, found in one["versions"].items()]
    parts += [one[key] for key in ("machine", "measured") if one[key]]
    parts += [f"commit {one['commit']}"] if one["commit"] else []
    text = f"{one['model']}: {text}; {', '.join(parts)}."
    return f"{text} {one['note']}." if one["note"] else text


def _busy(records: Sequence[Row]) -> str:
    found = [one["other_cpus"] for one in records if one["other_cpus"] is not None]
    if not found:
        return ""
    least, most = (f"{value:.2f}" for value in (min(found), max(found)))
    mark = ", which disturbs: measure when idle" if any(o["disturbed"] for o in records) else ""
    return f", other processes on {least if least == most else f'{least} to {most}'} CPUs{mark}"


def at(one: Row) -> int:
    """Tokens in the caches when decoding begins; a prompt of one token is none."""
    return int(one["depth"] + one["prompt_length"]) if one["prompt_length"] > 1 else 0


def depth_table(records: Sequence[Row], cell: Cell) -> str:
    """A row for each artifact; for each record a column of its prompt, then of its decoding."""
    shown = [
        (one, figure)
        for figure in FIGURES
        for one in records
        if (figure == "decode" or one["prompt_length"] > 1)
        and any(artifact[figure] for artifact in one["artifacts"])
    ]
    labels = dict.fromkeys(a["label"] for one in records for a in one["artifacts"])
    head = ["", *(f"decode at {at(one):,}" if figure == "decode" else _prompt(one)
                  for one, figure in shown)]  # fmt: skip
    rows = [
        [label, *(next((cell(a, figure) for a in one["artifacts"] if a["label"] == label), "–")
                  for one, figure in shown)]
        for label in labels
    ]  # fmt: skip
    return "\n".join(markdown([head, *rows], left=(0,))) + "\n"


def _prompt(one: Row) -> str:
    after = f" after {one['depth']:,}" if one["depth"] else ""
    return f"prefill {one['prompt_length']}{after}"


def memory_table(records: Sequence[Row]) -> str:
    """File size, and peak memory at each depth; '' if none was measured."""
    able = [one for one in records if any(a["peak"] for a in one["artifacts"])]
    sizes = {a["label"]: a["bytes"] for one in able for a in one["artifacts"]}
    if not able:
        return ""
    head = ["", "file, MB", *(f"peak at {at(one):,}, MB" for one in able)]
    rows = [
        [label, _megabytes(size), *(
            next((_megabytes(a["peak"]) for a in one["artifacts"] if a["label"] == label), "–")
            for one in able
        )]
        for label, size in sizes.items()
    ]  # fmt: skip
    return "\n".join(markdown([head, *rows], left=(0,))) + "\n"


def speed_text(spread: Mapping[str, float] | None) -> str:
    if spread is None:
        return "–"
    text = _speed(spread["median"])
    if spread["low"] is None or spread["low"] == spread["high"]:
        return text
    return f"{text} ({_speed(spread['low'])} to {_speed(spread['high'])})"


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def speed_cell(artifact: Row, figure: str) -> str:
    return speed_text(artifact[figure])


def advantage_cell(artifact: Row, figure: str) -> str:
    """How many times as fast the first artifact is."""
    ratio = artifact[f"{figure}_ratio"]
    if ratio is None:
        return ""
    other = {"value": 1 / ratio["value"], "low": None, "high": None, "significant": False}
    if ratio["low"] is not None:
        other |= {"low": 1 / ratio["high"], "high": 1 / ratio["low"],
                  "significant": ratio["significant"]}  # fmt: skip
    return ratio_text(other)


def _megabytes(value: float | None, form: str = ",.0f") -> str:
    return "–" if value is None else format(value / 1e6, form)
