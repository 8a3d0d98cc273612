"""Perplexity per word and bits per byte: losses that models with different tokenizers share.

    word perplexity = exp(loss / words),   bits per byte = loss / (ln 2 * bytes)

with the summed loss of all tokens, as lm-evaluation-harness normalizes them. A word is what white
space separates. Per-word perplexity is much larger than per-token perplexity of the same text.
"""

from __future__ import annotations

import math

from llm_export.metrics.base import Batch, Metric
from llm_export.metrics.perplexity import Losses, perplexity
from llm_export.metrics.value import Value


class WordPerplexity:
    """Gives no values where the words of the text are not known."""

    def __init__(self) -> None:
        self._losses = Losses()
        self._words = self._bytes = 0

    def add(self, batch: Batch) -> None:
        if batch.words is None or batch.bytes is None:
            return
        self._losses.add(batch)
        self._words += int(batch.words.sum())
        self._bytes += int(batch.bytes.sum())

    def values(self) -> dict[str, float]:
        if not self._words or not self._bytes:
            return {}
        return {
            "word_perplexity": perplexity(self._losses.program, self._words),
            "bits_per_byte": self._losses.program / (math.log(2) * self._bytes),
        }


METRIC = Metric(
    name="word_perplexity",
    unit="",
    higher_is_better=False,
    start=WordPerplexity,
    title="perplexity per word",
    short_title="word ppl",
    form="{:.6g}",
    short_form="{:.4g}",
    alone=True,
    others=(
        Value("bits_per_byte", "bits per byte", "", False, form="{:.4f}", brief=False, alone=True),
    ),
)
