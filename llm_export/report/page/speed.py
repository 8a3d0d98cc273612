"""The benchmark: its figures, their spread, and what the machine did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.pipeline.record import for_people
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Cell, Table
from runtime_py.benchmark import table

_SPREADS = (
    ("decode_tokens_per_second", "decode", "tokens/s"),
    ("prefill_tokens_per_second", "prefill", "tokens/s"),
    ("time_to_first_token_seconds", "time to first token", "s"),
    ("inter_token_latency_seconds", "time between tokens", "s"),
    ("image_encoding_seconds", "time to encode an image", "s"),
)
_STATISTICS = (
    "median", "mean", "stdev", "min", "max", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99",
)  # fmt: skip
_SHOWN = 300
"""Samples of a chart, at most."""
_UNITS = (("_bytes_per_second", "GB/s", 1e-9), ("_tokens_per_second", "tokens/s", 1.0))


def rows(found: Evidence) -> list[tuple[str, str]]:
    """Name and value with its range, as the terminal shows them."""
    return table(dict(found.benchmark)) if found.benchmark else []


def how(found: Evidence) -> str:
    """What was measured, in a sentence."""
    speed = found.benchmark
    settings, count = speed["settings"], speed["settings"]["repetitions"]
    # With hyphens at which no line ends.
    when = for_people(str(speed.get("measured") or "")).replace("-", "\u2011")
    when = f", {when}" if when else ""
    return (
        f"{speed['machine']['processor']}, {settings['threads']} threads; "
        f"{settings['prompt_length']:,} prompt and {settings['decode_length']:,} decoded tokens, "
        f"{count} repetition{'s' * (count != 1)}{when}. "
        "Values are the median, with the range in parentheses."
    )


def statistics(found: Evidence) -> Table | None:
    """The statistics of each spread that the file has."""
    spreads = _spreads(found.benchmark)
    names = [n for n in _STATISTICS if any(_number(s.get(n)) for _, s in spreads)]
    if not spreads:
        return None
    rows: list[list[Cell]] = [
        [title, *(f"{s[n]:.4g}" if _number(s.get(n)) else "–" for n in names)]
        for title, s in spreads
    ]
    return Table(["", *names], rows)


def chart(found: Evidence) -> list[dict[str, Any]]:
    """For each spread: its samples, or where a file has none its least, median and greatest."""
    made = []
    for title, spread in _spreads(found.benchmark):
        samples = [v for v in spread.get("samples") or [] if _number(v)]
        step = -(-len(samples) // _SHOWN) or 1
        median = spread.get("median", spread.get("p50"))
        extremes = [spread.get("min"), median, spread.get("max")]
        shown = samples[::step] or [v for v in extremes if _number(v)]
        if len(shown) > 1 and _number(median):
            quantiles = {
                n: spread[n] for n in _STATISTICS if n.startswith("p") and _number(spread.get(n))
            }
            made.append({"title": title, "samples": shown, "median": median,
                         "measured": bool(samples), "quantiles": quantiles})  # fmt: skip
    return made


def _spreads(speed: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"{title} ({unit})", speed[key])
        for key, title, unit in _SPREADS
        if isinstance(speed.get(key), Mapping)
    ]


def sustained(found: Evidence) -> list[tuple[float, float]]:
    """(seconds, tokens per second) of decoding for a long time; [] where it was not measured."""
    series = (found.benchmark.get("sustained") or {}).get("series") or []
    return [(float(each["seconds"]), float(each["tokens_per_second"])) for each in series]


def combinations(found: Evidence) -> Table | None:
    """The table of prompt lengths, depths and threads; None where one was measured."""
    tests = [t for t in found.benchmark.get("tests") or [] if isinstance(t, Mapping)]
    if len(tests) < 2:
        return None
    keys = list(dict.fromkeys(k for t in tests for k, v in t.items() if _cell(v) is not None))
    rows: list[list[Cell]] = [[_cell(test.get(key)) or "–" for key in keys] for test in tests]
    return Table([_words(key) for key in keys], rows, words=0)


def _cell(value: Any) -> str | None:
    """A number, or the median of a spread."""
    number = value.get("median") if isinstance(value, Mapping) else value
    if not _number(number):
        return None
    return f"{number:,}" if isinstance(number, int) else f"{number:.4g}"


def _words(key: str) -> str:
    plain = key.removesuffix("_seconds").removesuffix("_bytes")
    for end, unit, _ in _UNITS:
        if plain.endswith(end):
            return f"{plain.removesuffix(end).replace('_', ' ')} ({unit})"
    return plain.replace("_", " ")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
