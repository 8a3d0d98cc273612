"""Repeat a measurement of a task's program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.config.several import several

Run = TypeVar("Run")

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


def each_count(settings: BenchmarkConfig) -> Iterator[tuple[int | None, str, str]]:
    """(threads, ending of a figure's name, of its title) for each number of threads that is to be
    measured. The endings are empty where there is one."""
    counts = several(settings.threads) or [None]
    for threads in counts:
        if len(counts) > 1:
            yield threads, f"_{threads}_threads", f", {threads} threads"
        else:
            yield threads, "", ""


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
