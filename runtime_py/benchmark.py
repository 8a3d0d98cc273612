"""Measure a bundle on this machine: python -m runtime_py.benchmark BUNDLE."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime_py import memory
from runtime_py.conditions import OtherLoad, is_disturbed, processor, told_features
from runtime_py.errors import ArgumentError, BundleRuntimeError, shown


def measure(
    bundle: str | Path,
    *,
    prompt_length: int = 512,
    decode_length: int = 128,
    warmup: int = 1,
    repetitions: int = 3,
    threads: int | None = None,
    max_seconds: float | None = None,
    adapter: str | None = None,
) -> dict[str, Any]:
    """Measure load time, time to first token, prefill and decode speed, and peak memory.

    Also recorded: the processor, what other processes did in the meantime, and the memory of the
    process with all libraries before the bundle is loaded. Run it in a separate process: memory is
    measured for the whole process.

    Args:
        prompt_length, decode_length: tokens.
        warmup: repetitions whose results are discarded.
        max_seconds: start no further repetition after this time. A program so slow that the
            warm-up alone takes longer is measured by its warm-up.
        adapter: see ``LLM.load``.

    Raises:
        ArgumentError: a number is out of its range.
        BundleRuntimeError: the lengths do not fit the bundle's context.
    """
    for name, value, least in (
        ("prompt_length", prompt_length, 1), ("decode_length", decode_length, 1),
        ("warmup", warmup, 0), ("repetitions", repetitions, 1),
    ):  # fmt: skip
        if type(value) is not int or not least <= value < 2**31:
            raise ArgumentError(
                f"{name} must be a whole number from {least} to 2**31 - 1, not {shown(value)}"
            )
    if max_seconds is not None and not isinstance(max_seconds, int | float):
        raise ArgumentError(f"max_seconds must be a number or None, not {shown(max_seconds)}")
    from runtime_py.llm import LLM
    from runtime_py.program import thread_count, warm_up_imports

    warm_up_imports()
    bare = memory.resident()
    memory.reset_peak()
    begin = time.perf_counter()
    llm = LLM.load(bundle, threads=threads, adapter=adapter)
    load_seconds = time.perf_counter() - begin
    program = llm.program
    if prompt_length + decode_length > program.context_length:
        raise BundleRuntimeError(
            f"{prompt_length} + {decode_length} tokens do not fit the context of "
            f"{program.context_length}",
            fix="shorter lengths",
        )
    vocabulary = llm.bundle.manifest["program"]["vocab_size"]
    # Any ids will do, since speed does not depend on them. They are spread so that no row stays in
    # cache.
    prompt = [(i * 7919 + 13) % vocabulary for i in range(prompt_length)]
    prefill: list[float] = []
    decode: list[float] = []
    began = time.perf_counter()
    with OtherLoad() as load:
        for index in range(warmup + repetitions):
            program.reset()
            start = time.perf_counter()
            token = int(program.prefill(prompt).argmax())
            first = time.perf_counter()
            for _ in range(decode_length):
                token = int(program.step([token])[0, -1].argmax())
            end = time.perf_counter()
            out_of_time = max_seconds is not None and end - began > max_seconds
            if index >= warmup or (out_of_time and not prefill):
                prefill.append(first - start)
                decode.append(end - first)
            if out_of_time:
                break
    used, machine = threads or thread_count(), processor()
    conditions = load.cpus is not None and {
        "load_average_before": load.before,
        "other_cpus": load.cpus,
        "disturbed": is_disturbed(load.cpus, machine["logical_cpus"] or used, used),
    }
    return {
        "bundle": str(bundle),
        "settings": {
            "prompt_length": prompt_length, "decode_length": decode_length, "warmup": warmup,
            "repetitions": len(prefill), "threads": used,
        },
        "machine": machine,
        **({"conditions": conditions} if conditions else {}),
        "load_seconds": load_seconds,
        "time_to_first_token_seconds": spread(prefill),
        "prefill_tokens_per_second": spread([prompt_length / s for s in prefill]),
        "decode_tokens_per_second": spread([decode_length / s for s in decode]),
        "peak_memory_bytes": memory.peak(),
        "bare_memory_bytes": bare,
    }  # fmt: skip


def spread(values: list[float]) -> dict[str, float]:
    """Median, extremes and standard deviation of the repetitions."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "stdev": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


DISTURBED = "disturbed"
"""Marks a figure that other processes made doubtful."""

ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("load", lambda r: f"{r['load_seconds']:.2f} s"),
    ("time to first token", lambda r: _range(r["time_to_first_token_seconds"], "s", 3)),
    ("prefill", lambda r: _range(r["prefill_tokens_per_second"], "tokens/s", 1)),
    ("decode", lambda r: _range(r["decode_tokens_per_second"], "tokens/s", 1)),
)


def disturbed(result: dict[str, Any]) -> bool:
    """Whether other processes disturbed the measurement; False if it is not known."""
    return bool((result.get("conditions") or {}).get("disturbed"))


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for display: median, then the range over repetitions; disturbed ones are marked."""
    mark = f", {DISTURBED}" if disturbed(result) else ""
    rows = [(name, show(result) + mark) for name, show in ROWS]
    return [*rows, ("peak memory", _memory(result)), *_conditions(result)]


def _memory(result: dict[str, Any]) -> str:
    peak, bare = result["peak_memory_bytes"], result.get("bare_memory_bytes")
    if bare is None:
        return f"{peak / 1e6:.0f} MB"
    own = f"{(peak - bare) / 1e6:.0f} MB"
    return f"{peak / 1e6:.0f} MB; {own} without bare Python and libraries ({bare / 1e6:.0f} MB)"


def _conditions(result: dict[str, Any]) -> list[tuple[str, str]]:
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


def _range(s: dict[str, float], unit: str, digits: int) -> str:
    return f"{s['median']:.{digits}f} {unit} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime_py.benchmark", description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--prompt-length", type=int, default=512)
    parser.add_argument("--decode-length", type=int, default=128)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--max-seconds", type=float, help="begin no further repetition after")
    parser.add_argument("--adapter", help="one of the bundle's adapters; default: its own choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = vars(parser.parse_args(arguments))
    as_json = options.pop("json")
    try:
        result = measure(options.pop("bundle"), **options)
    except BundleRuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in table(result):
            print(f"{name:<20} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
