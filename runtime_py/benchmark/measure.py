"""Measure a bundle on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime_py import memory
from runtime_py.bandwidth import read_bandwidth
from runtime_py.benchmark.depth import prompt_of
from runtime_py.benchmark.encoding import image_encoding
from runtime_py.benchmark.plan import Case, Lengths, cases, numbers, wanted
from runtime_py.benchmark.rounds import Rounds, measure_rounds
from runtime_py.benchmark.sizes import Sizes
from runtime_py.benchmark.spread import spread
from runtime_py.benchmark.sustained import sustained as measure_sustained
from runtime_py.bundle import Bundle
from runtime_py.conditions import OtherLoad, processor
from runtime_py.errors import ArgumentError, shown
from runtime_py.manifest import is_endless

if TYPE_CHECKING:
    from runtime_py.llm import LLM

SCHEMA_VERSION = 2
"""Version of benchmark.schema.json. Results of version 1 have no such key."""

_LONGEST = 7 * 24 * 3600.0
"""Seconds of sustained decoding, at most."""

Progress = Callable[[str], object]


def measure(
    bundle: str | Path,
    *,
    prompt_length: Lengths = None,
    decode_length: Lengths = None,
    depth: Lengths = None,
    threads: Lengths = None,
    warmup: int | None = None,
    repetitions: int = 3,
    max_seconds: float | None = None,
    sustained: float | None = None,
    adapter: str | None = None,
    progress: Progress = lambda what: None,
) -> dict[str, Any]:
    """Measure load time, time to first token, prefill and decode speed, latency between tokens,
    memory, and the share of this machine's memory bandwidth that decoding reaches, for every
    combination of lengths, depths and threads.

    Also recorded: the processor, what other processes did in the meantime, and the memory of the
    process with all libraries before the bundle is loaded. Run it in a separate process: memory is
    measured for the whole process, and imports are timed if they are new.

    Args:
        prompt_length, decode_length: tokens, one number or several. None is 512 and 128, or what
            fits the context.
        depth: tokens in the caches before the prompt, one number or several. None is 0.
        threads: one number or several; the program is loaded anew for each. None is ExecuTorch's
            choice.
        warmup: rounds whose results are discarded, per combination. None: until two in a row
            agree within 5%, five at most.
        repetitions: measured rounds of each combination.
        max_seconds: start no further repetition after this time, which all combinations share. A
            program so slow that the warm-up alone takes longer is measured by its warm-up.
        sustained: afterwards decode for so many seconds, in the first combination, and record how
            the speed changes.
        adapter: see ``LLM.load``.
        progress: called with what is measured next.

    Returns:
        an object that follows benchmark.schema.json. Figures that are not in ``tests`` are those of
        the first combination.

    Raises:
        ArgumentError: a number is out of its range.
        BundleRuntimeError: a combination that was asked for does not fit the bundle's context.
    """
    asked = wanted(prompt_length, decode_length, depth, threads)
    numbers("warmup", warmup, least=0)
    if not numbers("repetitions", repetitions, least=1):
        raise ArgumentError("repetitions must be a whole number of at least 1, not None")
    _require_seconds("max_seconds", max_seconds)
    _require_seconds("sustained", sustained, _LONGEST)
    described = Bundle.open(bundle).manifest["program"]
    plan, notes = cases(asked, None if is_endless(described) else described["context_length"])
    begin = time.perf_counter()
    from runtime_py.llm import LLM
    from runtime_py.program import thread_count, warm_up_imports

    progress("loading")
    warm_up_imports()
    imports = time.perf_counter() - begin
    counts: Sequence[int | None] = asked.threads or (None,)
    # Before and after: whatever disturbs one makes it slower. Its array must not count as memory.
    reached = _bandwidths(counts) if memory.reset_peak() else {}
    bare = memory.resident()
    memory.reset_peak()
    tests: list[dict[str, Any]] = []
    loads: list[dict[str, float]] = []
    lasting: dict[str, Any] | None = None
    began = time.perf_counter()
    with OtherLoad() as load:
        for index, count in enumerate(counts):
            begin = time.perf_counter()
            llm = LLM.load(bundle, threads=count, adapter=adapter)
            loads.append({"program_seconds": time.perf_counter() - begin})
            loads[-1]["first_step_seconds"] = _first_step(llm)
            used = count or thread_count()
            if index == 0:
                sizes = Sizes.of(llm.bundle, adapter)
            for at, case in enumerate(plan):
                done, every = index * len(plan) + at + 1, len(counts) * len(plan)
                name = f"{case.label}, {used} threads ({done} of {every}): "
                rounds = measure_rounds(
                    llm.program, case, _vocabulary(llm), warmup=warmup, repetitions=repetitions,
                    until=_until(began, max_seconds, done / every),
                    began=partial(_told, progress, name),
                )  # fmt: skip
                tests.append(_test(case, used, rounds))
            if index == 0:
                steady = memory.resident()
                encoding = image_encoding(llm.program, repetitions)
                if sustained:
                    lasting = measure_sustained(
                        llm.program, plan[0], _vocabulary(llm), sustained,
                        partial(_told, progress, "sustained decoding: "),
                    )  # fmt: skip
            llm.close()
    peak = memory.peak()
    progress("memory bandwidth")
    for used, found in _bandwidths(counts).items():
        reached[used] = max(found, reached.get(used, 0.0))
    for test in tests:
        test["bandwidth_share"] = _share(test, sizes, reached[test["threads"]])
    first, machine = tests[0], processor()
    conditions = load.conditions(machine, max(test["threads"] for test in tests))
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle": str(bundle),
        "settings": {
            name: first[name]
            for name in (
                "prompt_length", "decode_length", "depth", "warmup", "repetitions", "threads"
            )
        },
        "machine": machine,
        **({"conditions": conditions} if conditions else {}),
        "load_seconds": loads[0]["program_seconds"],
        "load": {"imports_seconds": imports, **loads[0]},
        **{name: first[name] for name in FIGURES},
        "peak_memory_bytes": peak,
        "steady_memory_bytes": steady,
        "bare_memory_bytes": bare,
        "weight_bytes": sizes.weights,
        "cache_bytes": sizes.caches,
        "bandwidth": {
            "bytes_per_second": reached[first["threads"]],
            "decode_share": first["bandwidth_share"],
        },
        "tests": tests,
        **({"image_encoding_seconds": encoding} if encoding else {}),
        **({"sustained": lasting} if lasting else {}),
        **({"notes": notes} if notes else {}),
    }  # fmt: skip


FIGURES = (
    "time_to_first_token_seconds", "prefill_tokens_per_second", "decode_tokens_per_second",
    "inter_token_latency_seconds",
)  # fmt: skip
"""What is measured of each combination: a spread each."""


def _test(case: Case, threads: int, rounds: Rounds) -> dict[str, Any]:
    counted = rounds.counted
    latencies = list(chain.from_iterable(each.tokens for each in counted))
    return {
        "prompt_length": case.prompt_length, "decode_length": case.decode_length,
        "depth": case.depth, "threads": threads, "warmup": rounds.warmups,
        "warmup_settled": rounds.settled, "repetitions": len(counted),
        "time_to_first_token_seconds": spread([each.first for each in counted]),
        "prefill_tokens_per_second": spread([case.prompt_length / r.first for r in counted]),
        "decode_tokens_per_second": spread([case.decode_length / r.decode for r in counted]),
        "inter_token_latency_seconds": spread(latencies),
    }  # fmt: skip


def _told(progress: Progress, before: str, what: str) -> None:
    progress(before + what)


def _share(test: dict[str, Any], sizes: Sizes, bandwidth: float) -> float | None:
    """The bytes that the median decoding reads a second, of those that the machine can read (model
    bandwidth utilization). None where it is not known what a step reads."""
    position = test["depth"] + test["prompt_length"] + test["decode_length"] // 2
    read = sizes.read_at(position)
    if read is None:
        return None
    return float(read * test["decode_tokens_per_second"]["median"] / bandwidth)


def _until(began: float, seconds: float | None, share: float) -> float:
    """Each combination has its part of the time, and what those before it have left."""
    return float("inf") if seconds is None else began + seconds * share


def _bandwidths(counts: Sequence[int | None]) -> dict[int, float]:
    """Threads -> bytes per second; None is ExecuTorch's choice."""
    from runtime_py.program import thread_count

    return {used: read_bandwidth(used) for used in {count or thread_count() for count in counts}}


def _first_step(llm: LLM) -> float:
    """Seconds of the first token after loading: weights are read from the disk or unpacked."""
    begin = time.perf_counter()
    llm.program.step(prompt_of(1, _vocabulary(llm)))
    seconds = time.perf_counter() - begin
    llm.program.reset()
    return seconds


def _vocabulary(llm: LLM) -> int:
    return int(llm.bundle.manifest["program"]["vocab_size"])


def _require_seconds(name: str, value: object, most: float = inf) -> None:
    """Raises ArgumentError if it is neither a number of seconds nor None."""
    if value is not None and not (isinstance(value, int | float) and -inf <= value <= most):
        raise ArgumentError(f"{name} must be a number of seconds or None, not {shown(value)}")
