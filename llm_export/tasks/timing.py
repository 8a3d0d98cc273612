"""Repeat a measurement of a task's program."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from llm_export.bundle.measures import SPEED, Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.config.several import several

Run = TypeVar("Run")
Model = TypeVar("Model")

_WARM = 0.05
"""Relative difference of two runs in a row that ends the warm-up."""
_WARM_RUNS = 5


def repeated(run: Callable[[], Run], settings: BenchmarkConfig) -> list[Run]:
    """What ``settings.repetitions`` runs return, behind a warm-up that ends when two runs in a row
    agree; fewer where they take longer than ``settings.max_seconds``."""
    begin = time.monotonic()
    last = _seconds(run)
    for _ in range(_WARM_RUNS if settings.warmup is None else settings.warmup):
        if time.monotonic() - begin > settings.max_seconds:
            break
        now = _seconds(run)
        if settings.warmup is None and abs(now - last) <= _WARM * last:
            break
        last = now
    begin, found = time.monotonic(), [run()]
    while len(found) < settings.repetitions:
        if time.monotonic() - begin > settings.max_seconds:
            break
        found.append(run())
    return found


def seconds_of(run: Callable[[], object]) -> Callable[[], float]:
    """A run that returns the seconds which it took."""
    return lambda: _seconds(run)


def at_each_count(
    load: Callable[..., AbstractContextManager[Model]],
    bundle: Path,
    settings: BenchmarkConfig,
    measured: Callable[[Model], Iterable[Measure]],
) -> tuple[Measure, ...]:
    """What is measured of a bundle with each number of threads, which figures tell if there are
    several.

    Args:
        load: of the class that runs it.
    """
    counts = several(settings.threads) or (None,)
    found: list[Measure] = []
    for threads in counts:
        with load(bundle, threads=threads, verify_hashes=False) as model:
            figures = measured(model)
            if len(counts) > 1:
                name, title = f"_{threads}_threads", f", {threads} threads"
                figures = [
                    replace(each, name=each.name + name, title=each.title + title)
                    for each in figures
                ]
            found += figures
    return tuple(found)


def encode_and_decode(
    run: Callable[[int], tuple[float, float]],
    encoded: str,
    most: int,
    settings: BenchmarkConfig,
) -> tuple[Measure, Measure]:
    """Milliseconds of an encoder, and the tokens a second of the decoder behind it.

    Args:
        run: number of tokens -> (seconds to encode, seconds to decode so many).
        encoded: what is encoded, in words.
        most: tokens that the decoder has room for.
    """
    count = length_of(settings.decode_length, 64, most)
    runs = repeated(lambda: run(count), settings)
    encode = statistics.median(each[0] for each in runs)
    rate = statistics.median(count / each[1] for each in runs)
    return (
        Measure("encode", f"encoding {encoded}", encode * 1000, SPEED, "ms"),
        Measure("decode", f"decoding {count} tokens", rate, SPEED, "tokens/s",
                higher_is_better=True),
    )  # fmt: skip


def length_of(stated: Any, usual: int, most: int) -> int:
    """The first length of a setting of the benchmark, as far as there is room."""
    return min((*several(stated), usual)[0], most)


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
