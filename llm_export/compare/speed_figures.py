"""Speed and memory of a bundle, from benchmark.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llm_export.compare.figure import MEMORY, SPEED, Figure, Quantity, entry, number, part
from llm_export.metrics.value import Value

RATE = Value("decode", "decode", "tokens/s", True, form="{:.1f}")
MEASURED: Mapping[str, tuple[str, Value]] = {
    "decode": ("decode_tokens_per_second", RATE),
    "prefill": ("prefill_tokens_per_second", Value("prefill", "prefill", "tokens/s", True,
                                                   form="{:.1f}")),
    "ttft": ("time_to_first_token_seconds", Value("ttft", "time to first token", "s", False,
                                                  form="{:.3f}")),
    "inter_token": ("inter_token_latency_seconds", Value("inter_token", "inter-token latency", "s",
                                                         False, form="{:.4f}")),
}  # fmt: skip
"""Name -> its key in benchmark.json, a spread over repetitions, and how it is written."""

STATISTICS = ("median", "mean", "min", "max", "stdev", "p10", "p50", "p90", "p95", "p99")
MAIN = ("median", "p50", "mean")
"""The statistic that a table has: the first of these that was kept."""
DEPENDENT = ("inter_token",)
"""Of single tokens, each of which depends on those before it: their samples are no repetitions,
unless each is of a turn of its own."""
IN_TURNS = "in_turns"
"""Marks a benchmark of several turns, with their number."""

SINGLE: tuple[tuple[str, str, tuple[str, ...], Value], ...] = (
    ("load", SPEED, ("load_seconds",), Value("load", "load", "s", False, form="{:.2f}")),
    ("load.imports", SPEED, ("load", "imports_seconds"),
     Value("imports", "load: imports", "s", False, form="{:.2f}", brief=False)),
    ("load.program", SPEED, ("load", "program_seconds"),
     Value("program", "load: program", "s", False, form="{:.2f}", brief=False)),
    ("load.first_step", SPEED, ("load", "first_step_seconds"),
     Value("first_step", "load: first step", "s", False, form="{:.3f}", brief=False)),
    ("bandwidth.decode_share", SPEED, ("bandwidth", "decode_share"),
     Value("decode_share", "decode, of the bandwidth bound", "share", True, form="{:.3f}",
           brief=False)),
    ("bandwidth.bytes_per_second", SPEED, ("bandwidth", "bytes_per_second"),
     Value("bandwidth", "bandwidth of the machine", "bytes/s", None, form="{:.4g}", brief=False)),
    ("sustained.drift", SPEED, ("sustained", "drift"),
     Value("drift", "sustained decoding, last against first", "", True, form="{:.3f}",
           brief=False)),
    ("memory.peak", MEMORY, ("peak_memory_bytes",),
     Value("peak", "peak memory", "bytes", False, form="{:,.0f}")),
    ("memory.steady", MEMORY, ("steady_memory_bytes",),
     Value("steady", "steady memory", "bytes", False, form="{:,.0f}")),
    ("memory.bare", MEMORY, ("bare_memory_bytes",),
     Value("bare", "memory before loading", "bytes", None, form="{:,.0f}", brief=False)),
    ("memory.weights", MEMORY, ("weight_bytes",),
     Value("weights", "weights", "bytes", False, form="{:,.0f}", brief=False)),
    ("memory.caches", MEMORY, ("cache_bytes",),
     Value("caches", "caches", "bytes", False, form="{:,.0f}", brief=False)),
)  # fmt: skip
"""Name, group, path of its key, and how it is written: of one measurement each."""
OWN = Value("own", "peak memory without Python and libraries", "bytes", False, form="{:,.0f}")
COUNTED = ("memory.weights", "memory.caches")


def speed_figures(body: Mapping[str, object]) -> Iterator[Figure]:
    """
    Args:
        body: benchmark.json; empty where nothing was measured.
    """
    conditions, doubt = _conditions(body), _doubt(body)
    for name, (key, shown) in MEASURED.items():
        independent = name not in DEPENDENT or IN_TURNS in body
        yield from _spread(name, shown, part(body, key), conditions, doubt, independent)
    for name, group, keys, shown in SINGLE:
        value = number(_at(body, keys))
        if value is not None:
            yield Figure(
                Quantity(name, group, shown), value, exact=name in COUNTED,
                conditions={} if name in COUNTED else conditions,
                doubt=doubt if group == SPEED else "",  # others take time, and no memory of it
            )  # fmt: skip
    peak, bare = number(body.get("peak_memory_bytes")), number(body.get("bare_memory_bytes"))
    if peak is not None and bare is not None:
        yield Figure(Quantity("memory.own", MEMORY, OWN), peak - bare, conditions=conditions)
    tests = body.get("tests")
    for test in tests if isinstance(tests, list) else ():
        if isinstance(test, Mapping) and _lengths(test) != _lengths(part(body, "settings")):
            yield from _test(test, conditions, doubt)


def known_speed() -> Iterator[Quantity]:
    """All quantities that a benchmark may have, but those of single tests."""
    for name, (_, shown) in MEASURED.items():
        for statistic in STATISTICS:
            yield _quantity(name, statistic, shown, brief=statistic == MAIN[0])
    for name, group, _, shown in SINGLE:
        yield Quantity(name, group, shown)
    yield Quantity("memory.own", MEMORY, OWN)


def _quantity(name: str, statistic: str, shown: Value, *, brief: bool) -> Quantity:
    spread = statistic == "stdev"
    title = shown.title if statistic in MAIN[:2] else f"{shown.title}, {statistic}"
    value = Value(
        statistic, title, shown.unit, False if spread else shown.higher_is_better,
        form=shown.form, brief=brief,
    )  # fmt: skip
    return Quantity(f"{name}.{statistic}", SPEED, value)


def _spread(
    name: str, shown: Value, spread: Mapping[str, object], conditions: Mapping[str, object],
    doubt: str, independent: bool,
) -> Iterator[Figure]:  # fmt: skip
    kept = {s: value for s in STATISTICS if (value := number(spread.get(s))) is not None}
    main = next((s for s in MAIN if s in kept), "")
    for statistic, value in kept.items():
        yield Figure(
            _quantity(name, statistic, shown, brief=statistic == main), value,
            samples=_samples(spread) if independent and statistic == main else (),
            conditions=conditions, doubt=doubt,
        )  # fmt: skip


def _samples(spread: Mapping[str, object]) -> tuple[float, ...]:
    found = spread.get("samples")
    values = [number(v) for v in found] if isinstance(found, list) else []
    return tuple(v for v in values if v is not None and v > 0)


def _test(
    test: Mapping[str, object], conditions: Mapping[str, object], doubt: str
) -> Iterator[Figure]:
    """Of one combination of lengths, depth and threads."""
    prompt, decode, depth, threads = _lengths(test)
    label = f"p{prompt} n{decode} d{depth} t{threads}"
    own = {**conditions, "prompt_length": prompt, "decode_length": decode, "threads": threads}
    for name, (key, shown) in MEASURED.items():
        found = test.get(key)
        spread = found if isinstance(found, Mapping) else {"median": found}
        main = next((s for s in MAIN if number(spread.get(s)) is not None), None)
        if main is None:
            continue
        value = number(spread[main])
        assert value is not None
        title = (
            f"{shown.title}: {prompt} prompt, {decode} decoded, depth {depth}, {threads} threads"
        )
        yield Figure(
            Quantity(f"{entry('tests', label)}.{name}", SPEED,
                     Value(name, title, shown.unit, shown.higher_is_better, form=shown.form)),
            value, samples=() if name in DEPENDENT else _samples(spread), conditions=own,
            doubt=doubt,
        )  # fmt: skip


def _lengths(body: Mapping[str, object]) -> tuple[object, ...]:
    keys = ("prompt_length", "decode_length", "depth", "threads")
    return tuple(body.get(key) or 0 for key in keys)


def _conditions(body: Mapping[str, object]) -> dict[str, object]:
    machine, settings = part(body, "machine"), part(body, "settings")
    of_settings = ("threads", "prompt_length", "decode_length", "depth")
    found = {key: machine.get(key) for key in ("processor", "logical_cpus")}
    found["instruction_sets"] = machine.get("features")
    return {**found, **{key: settings[key] for key in of_settings if key in settings}}


def _doubt(body: Mapping[str, object]) -> str:
    return "disturbed" if part(body, "conditions").get("disturbed") else ""


def _at(body: Mapping[str, object], keys: tuple[str, ...]) -> object:
    found: object = body
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
