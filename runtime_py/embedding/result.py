"""Embeddings of texts, and what was done for them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Embeddings:
    """
    Attributes:
        values: float32 [N, D], in the order of the texts.
        tokens: tokens of each text that were embedded, prompt and special tokens included.
        truncated: indices of texts whose end was cut off.
        seconds: time in the tokenizer and in the program.
        calls: number of runs of the program.
    """

    values: Tensor
    tokens: tuple[int, ...]
    truncated: tuple[int, ...]
    seconds: float
    calls: int

    @property
    def total_tokens(self) -> int:
        return sum(self.tokens)

    @property
    def texts_per_second(self) -> float:
        return len(self.tokens) / self.seconds if self.seconds > 0 else 0.0
