"""Speed of a program that embeds: texts a second in batches, and the time of one text."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from llm_export.bundle.measures import SPEED, Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.config.several import several
from llm_export.tasks.embedding.texts import text_set
from runtime_py import Embedder

_WARM = 0.05
"""Relative difference of two runs in a row that ends the warm-up."""
_WARM_RUNS = 5
_TEXTS = 256


def speed(bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
    """Medians over ``settings.repetitions``, for each number of threads."""
    counts = several(settings.threads) or [None]
    found: list[Measure] = []
    for threads in counts:
        with Embedder.load(bundle, threads=threads, verify_hashes=False) as embedder:
            found += _measured(embedder, settings, threads if len(counts) > 1 else None)
    return tuple(found)


def _measured(
    embedder: Embedder, settings: BenchmarkConfig, threads: int | None
) -> Iterator[Measure]:
    texts = list(text_set(_TEXTS).passages)
    name, title = (f"_{threads}_threads", f", {threads} threads") if threads else ("", "")
    batch = embedder.embed_with_stats(texts)
    seconds = _median(lambda: embedder.embed(texts), settings)
    tokens = batch.total_tokens
    yield Measure(f"texts_per_second{name}",
                  f"sentences of {tokens / len(texts):.0f} tokens, in batches{title}",
                  len(texts) / seconds, SPEED, "texts/s", higher_is_better=True)  # fmt: skip
    yield Measure(f"tokens_per_second{name}", f"tokens, in batches{title}", tokens / seconds, SPEED,
                  "tokens/s", higher_is_better=True)  # fmt: skip
    one = _median(lambda: embedder.embed(texts[0]), settings)
    yield Measure(f"one_text{name}",
                  f"one sentence of {batch.tokens[0]} tokens{title}", 1000 * one, SPEED, "ms"
                  )  # fmt: skip


def _median(run: Callable[[], object], settings: BenchmarkConfig) -> float:
    """Seconds of one run, behind a warm-up."""
    last = _time(run)
    warm = _WARM_RUNS if settings.warmup is None else settings.warmup
    for _ in range(warm):
        now = _time(run)
        if settings.warmup is None and abs(now - last) <= _WARM * last:
            break
        last = now
    begin, times = time.monotonic(), [_time(run)]
    while len(times) < settings.repetitions:
        if time.monotonic() - begin > settings.max_seconds:
            break
        times.append(_time(run))
    return statistics.median(times)


def _time(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
