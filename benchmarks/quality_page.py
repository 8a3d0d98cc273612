"""docs/quality.md, its chart, and the package's quant_evidence.json, from what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.kept import REPO, Row, as_json, page_part
from benchmarks.kl_chart import Point, chart
from benchmarks.speed_page import session as speed_session

DATA = Path(__file__).with_name("quality.json")
PAGE = REPO / "docs" / "quality.md"
README = REPO / "README.md"
CHART = REPO / "docs" / "images" / "quality.svg"
EVIDENCE = REPO / "llm_export" / "data" / "quant_evidence.json"
Data = dict[str, Any]
"""``model``, ``option``; ``rows`` of programs, ``rivals``, and ``speeds``, a list of sessions."""

PLATFORMS = {
    "xnnpack": ("CPUs", "XNNPACK"),
    "openvino": ("Intel CPUs, GPUs and NPUs", "OpenVINO"),
    "mlx": ("GPUs of Macs", "MLX"),
    "coreml": ("iPhones, iPads and Macs", "Core ML"),
    "vulkan": ("GPUs of Android phones", "Vulkan"),
}
"""Backend -> its heading, and what the chart calls it."""
_HEAD = """\
# Quality of quantization

<!-- Made by `python benchmarks/quality_table.py`. -->

How much each quant option changes the model. {model} (weights from a Q4_1 GGUF) is compared
with the float32 eager model, which has a perplexity of {reference:.2f} on {positions:,} positions
of the verification text. KL divergence is in nats, MB is 10^6 bytes, and bits per weight count each
stored tensor once. Names in italics are what a user of the platform would otherwise take, on the
same weights.

[![KL divergence against size in MB, of programs and of other tools](images/quality.svg)]\
(images/quality.svg)

Further left is smaller, further down is better (logarithmic scale). Of ours it has the options as
they are shipped{outside}.

"""
_COLUMNS = (
    "| | MB | bits per weight | perplexity | mean KL | p99 KL | top-1 | how |\n"
    "|---|---|---|---|---|---|---|---|\n"
)
_TAIL = """\
Measure all rows that this machine can, or some; render this page from what is kept; compare the
speed of the bundles that rows have left:

```text
python benchmarks/quality_table.py --all
python benchmarks/quality_table.py --rows "xnnpack 8da8w" "MLX 4 bit, groups of 64"
python benchmarks/quality_table.py --rows
python benchmarks/quality_table.py --rows --speed
```
"""


def page(data: Data) -> str:
    """The text of docs/quality.md."""
    rows, rivals = data["rows"], data["rivals"]
    longest = max(rows, key=lambda row: row["positions"] or 0)
    outside = [row for row in rows if row["option"] and not on_chart(row)]
    said = ", ".join(f"`{row['label']}` on {_called(row)}" for row in outside)
    text = _HEAD.format(
        model=data["model"], reference=longest["reference_perplexity"],
        positions=longest["positions"], outside=f", without {said}" if outside else "",
    )  # fmt: skip
    places = list(dict.fromkeys(_circumstances(row) for row in [*rows, *rivals]))
    for backend, (title, called) in PLATFORMS.items():
        own = [row for row in rows if row["backend"] == backend]
        beside = [row for row in rivals if backend in row["backends"]]
        if own or beside:
            text += f"## {title}: {called}\n\n{_COLUMNS}"
            text += "".join(_line(f"`{row['label']}`", row, places) for row in own)
            text += "".join(_line(f"*{row['name']}*", row, places) for row in beside)
            text += "".join(_notes(own, beside)) + "\n"
    text += "## How they were measured\n\n"
    text += "".join(f"{at}. {place}.\n" for at, place in enumerate(places, 1))
    if data["speeds"]:
        text += "\n## Speed\n\n" + "\n".join(speed_session(each) for each in data["speeds"])
    return f"{text}\n{_TAIL}"


def evidence(data: Data) -> str:
    """The text of quant_evidence.json: the rows that are a quant option as it is shipped."""
    kept = [
        {"backend": row["backend"], "quant": row["option"], "bytes": row["bytes"],
         "mean_kl": float(f"{row['mean_kl']:.2g}"), "top1": row["top1"] and round(row["top1"], 3)}
        for row in data["rows"]
        if row["option"] is not None
    ]  # fmt: skip
    return as_json({"model": data["model"], "option": data["option"], "rows": kept})


def picture(data: Data) -> str:
    """The text of the chart."""
    mine = [
        Point(_short(row), row["bytes"] / 1e6, row["mean_kl"], True)
        for row in data["rows"]
        if row["option"] and on_chart(row)
    ]
    others = [
        Point(row["name"], row["bytes"] / 1e6, row["mean_kl"], False) for row in data["rivals"]
    ]
    return chart([*mine, *others], f"Quality of {data['model']} for its size")


def made(data: Data) -> dict[Path, str]:
    """Generated file -> its text."""
    readme = page_part(README.read_text(encoding="utf-8"), "quality", first_table(data))
    return {PAGE: page(data), CHART: picture(data), EVIDENCE: evidence(data), README: readme}


def first_table(data: Data) -> str:
    """For the first page: the shipped options on XNNPACK."""
    rows = [row for row in data["rows"] if row["backend"] == "xnnpack" and row["option"]]
    lines = [
        f"| `quant={row['option']}` | {row['bytes'] / 1e6:.1f} MB | {row['mean_kl']:.2g} "
        f"| {_number(row['top1'], '.3f')} | {_number(row['perplexity'], '.2f')} "
        f"| {_number(row['positions'], ',')} |\n"
        for row in sorted(rows, key=lambda row: float(row["mean_kl"]))
    ]
    head = "| on XNNPACK | program | mean KL to float32 | top-1 | perplexity | positions |\n"
    return "".join([head, "|---|---|---|---|---|---|\n", *lines])


def on_chart(row: Row) -> bool:
    return bool(row["mean_kl"] >= 1e-3)


def _short(row: Row) -> str:
    return f"{_called(row)} {row['label']}" if row["backend"] != "xnnpack" else str(row["label"])


def _called(row: Row) -> str:
    return PLATFORMS[row["backend"]][1]


def _line(name: str, row: Row, places: list[str]) -> str:
    cells = [
        name,
        f"{row['bytes'] / 1e6:.1f}",
        _number(row.get("bits_per_weight"), ".2f"),
        _number(row.get("perplexity"), ".2f"),
        f"{row['mean_kl']:.2g}",
        _number(row.get("p99_kl"), ".2g"),
        _number(row.get("top1"), ".3f"),
        str(places.index(_circumstances(row)) + 1),
    ]
    return f"| {' | '.join(cells)} |\n"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _notes(own: Sequence[Row], beside: Sequence[Row]) -> list[str]:
    named = [(f"`{row['label']}`", row) for row in own] + [(row["name"], row) for row in beside]
    notes = [f"- {name}: {row['note']}.\n" for name, row in named if row["note"]]
    return ["\n", *notes] if notes else []


def _circumstances(row: Row) -> str:
    """How, where and when a row was measured."""
    parts = (
        [_COMPARED[row["compared"]]]
        if "backend" in row
        else ["The weights as the tool quantizes them"]
    )
    if row["positions"]:
        told = f"{row['positions']:,} positions"
        if row.get("reference_perplexity"):
            told += f" (float32 perplexity {row['reference_perplexity']:.2f})"
        parts.append(told)
    if row.get("source"):
        parts = [row["source"]]
    parts += [f"{name} {found}" for name, found in row["versions"].items()]
    parts += [row[key] for key in ("machine", "measured") if row[key]]
    if row["commit"] and "backend" in row:
        parts.append(f"commit {row['commit']}")
    return ", ".join(parts)


_COMPARED = {
    "program": "The program, run",
    "lowered graph": "The quantized model; the lowered graph, executed in Python, equals it",
    "eager model": "The quantized model, before it was lowered",
}
