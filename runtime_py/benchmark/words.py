"""A benchmark for people: rows of figures, and a table of its combinations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from runtime_py.conditions import told_features

DISTURBED = "disturbed"
"""Marks a figure that other processes made doubtful."""

Result = Mapping[str, Any]

ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("load", lambda r: _load(r)),
    ("time to first token", lambda r: _range(r["time_to_first_token_seconds"], "s", 3)),
    ("prefill", lambda r: _range(r["prefill_tokens_per_second"], "tokens/s", 1)),
    ("decode", lambda r: _range(r["decode_tokens_per_second"], "tokens/s", 1) + _bound(r)),
    ("between tokens", lambda r: _latency(r.get("inter_token_latency_seconds"))),
    ("encode an image", lambda r: _encoding(r.get("image_encoding_seconds"))),
    ("sustained decoding", lambda r: _sustained(r.get("sustained"))),
)


def disturbed(result: Result) -> bool:
    """Whether other processes disturbed the measurement; False if it is not known."""
    return bool((result.get("conditions") or {}).get("disturbed"))


def table(result: Result) -> list[tuple[str, str]]:
    """Rows for display: median, then the range over repetitions; disturbed ones are marked. Of
    several combinations, the first; see ``combinations``. Results of earlier versions have fewer.
    """
    mark = f", {DISTURBED}" if disturbed(result) else ""
    rows = [(name, said + mark) for name, show in ROWS if (said := show(result))]
    return [*rows, ("peak memory", _memory(result)), *_sizes(result), *_conditions(result)]


_OF_A_TEST = ("time_to_first_token_seconds", "prefill_tokens_per_second",
              "decode_tokens_per_second")  # fmt: skip


def tests_of(result: Result) -> list[Mapping[str, Any]]:
    """The combinations that were measured. What a native runner or an earlier version measured is
    one, with fewer figures."""
    found = result.get("tests")
    if found:
        return list(found)
    settings = {k: v for k, v in result["settings"].items() if k not in ("warmup", "repetitions")}
    return [{**settings, **{name: result[name] for name in _OF_A_TEST}}]


def combinations(result: Result) -> list[list[str]]:
    """A table, its head first, with a row for each combination that was measured."""
    head = ["prompt", "decode", "depth", "threads", "prefill, tokens/s", "decode, tokens/s",
            "first token, s", "between tokens, ms: p50", "p99", "of bandwidth"]  # fmt: skip
    rows = []
    for test in tests_of(result):
        between, share = test.get("inter_token_latency_seconds"), test.get("bandwidth_share")
        rows.append([
            *(str(test.get(key, "")) for key in
              ("prompt_length", "decode_length", "depth", "threads")),
            _plus_minus(test["prefill_tokens_per_second"]),
            _plus_minus(test["decode_tokens_per_second"]),
            f"{test['time_to_first_token_seconds']['median']:.3f}",
            *((f"{between[key] * 1e3:.2f}" if between else "") for key in ("p50", "p99")),
            "" if share is None else f"{share:.0%}",
        ])  # fmt: skip
    if not any(row[-1] for row in rows):
        return [row[:-1] for row in (head, *rows)]
    return [head, *rows]


def aligned(rows: Iterable[Iterable[str]], left: Collection[int] = ()) -> list[str]:
    """Lines of a table, every column aligned at its right but those in ``left``."""
    every = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]


def markdown(rows: Iterable[Iterable[str]], left: Collection[int] = ()) -> list[str]:
    """Lines of a table in Markdown, every column aligned at its right but those in ``left``."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---" if at in left else "---:" for at in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *body)]


def _plus_minus(spread: Mapping[str, float]) -> str:
    return f"{spread['mean']:.1f} ± {spread['stdev']:.1f}"


def _load(result: Result) -> str:
    parts, program = result.get("load"), f"{result['load_seconds']:.2f} s"
    if not parts:
        return program
    return (
        f"{program}, after {parts['imports_seconds']:.2f} s of imports; "
        f"the first step {parts['first_step_seconds']:.2f} s"
    )


def _bound(result: Result) -> str:
    share = (result.get("bandwidth") or {}).get("decode_share")
    return "" if share is None else f", {share:.0%} of the bandwidth bound"


def _latency(spread: Mapping[str, float] | None) -> str:
    if not spread:
        return ""
    p50, p90, p99 = (f"{spread[key] * 1e3:.2f}" for key in ("p50", "p90", "p99"))
    return f"{p50} ms (90% below {p90}, 99% below {p99})"


def _encoding(spread: Mapping[str, float] | None) -> str:
    if not spread:
        return ""
    if spread["median"] >= 0.1:
        return _range(spread, "s", 3)
    return _range({key: 1e3 * spread[key] for key in ("median", "min", "max")}, "ms", 2)


def _sustained(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    return (
        f"{found['tokens_per_second']:.1f} tokens/s over {found['seconds']:.0f} s; "
        f"last tenth {found['drift']:.2f} of the first"
    )


def _memory(result: Result) -> str:
    peak, bare = result["peak_memory_bytes"], result.get("bare_memory_bytes")
    if bare is None:
        return f"{peak / 1e6:.0f} MB"
    own = f"{(peak - bare) / 1e6:.0f} MB"
    return f"{peak / 1e6:.0f} MB; {own} without bare Python and libraries ({bare / 1e6:.0f} MB)"


def _sizes(result: Result) -> Iterable[tuple[str, str]]:
    steady, weights = result.get("steady_memory_bytes"), result.get("weight_bytes")
    caches, bandwidth = result.get("cache_bytes"), result.get("bandwidth")
    if steady is not None:
        yield "steady memory", f"{steady / 1e6:.0f} MB"
    if weights is not None:
        beside = "" if caches is None else f", caches {caches / 1e6:.1f} MB"
        yield "weights", f"{weights / 1e6:.1f} MB{beside}"
    if bandwidth:
        yield "memory bandwidth", f"{bandwidth['bytes_per_second'] / 1e9:.1f} GB/s measured"


def _conditions(result: Result) -> list[tuple[str, str]]:
    """What the machine was, and what else it did; nothing for results of earlier versions."""
    machine, said = result["machine"], result.get("conditions")
    if said is None:
        return []
    parts = [told_features(machine.get("features") or ())]
    if machine.get("governor"):
        parts.append(f"governor {machine['governor']}")
    load = said["load_average_before"]
    others = f"{said['other_cpus']:.2f} of {machine['logical_cpus']} CPUs"
    verdict = f" ({DISTURBED}: measure when idle)" if said["disturbed"] else ""
    before = "" if load is None else f"; load average before: {load:.1f}"
    features = "; ".join(part for part in parts if part)
    return [*([("processor", features)] if features else []),
            ("other processes", f"{others}{verdict}{before}")]  # fmt: skip


def _range(s: Mapping[str, float], unit: str, digits: int) -> str:
    return f"{s['median']:.{digits}f} {unit} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"
