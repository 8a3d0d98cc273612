"""Measure a bundle on this machine: python -m runtime_py.benchmark BUNDLE."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from runtime_py.errors import BundleRuntimeError


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

    Run it in a separate process: peak memory is measured for the whole process.

    Args:
        prompt_length, decode_length: tokens.
        warmup: repetitions whose results are discarded.
        max_seconds: start no further repetition after this time. A program so slow that the
            warm-up alone takes longer is measured by its warm-up.
        adapter: see ``LLM.load``.

    Raises:
        BundleRuntimeError: the lengths do not fit the bundle's context.
    """
    from runtime_py.llm import LLM
    from runtime_py.program import thread_count, warm_up_imports

    warm_up_imports()
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
    return {
        "bundle": str(bundle),
        "settings": {
            "prompt_length": prompt_length, "decode_length": decode_length, "warmup": warmup,
            "repetitions": len(prefill), "threads": threads or thread_count(),
        },
        "machine": {"processor": cpu_name(), "logical_cpus": psutil.cpu_count()},
        "load_seconds": load_seconds,
        "time_to_first_token_seconds": spread(prefill),
        "prefill_tokens_per_second": spread([prompt_length / s for s in prefill]),
        "decode_tokens_per_second": spread([decode_length / s for s in decode]),
        "peak_memory_bytes": peak_memory(),
    }  # fmt: skip


def spread(values: list[float]) -> dict[str, float]:
    """Median, extremes and standard deviation of the repetitions."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "stdev": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes.

    /proc is preferred to getrusage, whose value survives exec and would be that of the parent
    process.
    """
    import resource

    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("load", lambda r: f"{r['load_seconds']:.2f} s"),
    ("time to first token", lambda r: _range(r["time_to_first_token_seconds"], "s", 3)),
    ("prefill", lambda r: _range(r["prefill_tokens_per_second"], "tokens/s", 1)),
    ("decode", lambda r: _range(r["decode_tokens_per_second"], "tokens/s", 1)),
    ("peak memory", lambda r: f"{r['peak_memory_bytes'] / 1e6:.0f} MB"),
)


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for display: median, then the range over repetitions."""
    return [(name, show(result)) for name, show in ROWS]


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
