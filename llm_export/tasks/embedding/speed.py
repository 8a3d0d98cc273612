"""Speed of a program that embeds: texts a second in batches, and the time of one text."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from llm_export.bundle.measures import SPEED, Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.tasks.embedding.texts import text_set
from llm_export.tasks.timing import at_each_count, repeated, seconds_of
from runtime_py import Embedder

_TEXTS = 256


def speed(bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
    """Medians over ``settings.repetitions``, for each number of threads."""
    return at_each_count(Embedder.load, bundle, settings, lambda model: _measured(model, settings))


def _measured(embedder: Embedder, settings: BenchmarkConfig) -> Iterator[Measure]:
    texts = list(text_set(_TEXTS).passages)
    batch = embedder.embed_with_stats(texts)
    seconds = statistics.median(repeated(seconds_of(lambda: embedder.embed(texts)), settings))
    tokens = batch.total_tokens
    yield Measure("texts_per_second", f"sentences of {tokens / len(texts):.0f} tokens, in batches",
                  len(texts) / seconds, SPEED, "texts/s", higher_is_better=True)  # fmt: skip
    yield Measure("tokens_per_second", "tokens, in batches", tokens / seconds, SPEED,
                  "tokens/s", higher_is_better=True)  # fmt: skip
    one = statistics.median(repeated(seconds_of(lambda: embedder.embed(texts[0])), settings))
    yield Measure("one_text", f"one sentence of {batch.tokens[0]} tokens", 1000 * one, SPEED, "ms")
