"""Sample the next token from logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """Sampling settings: temperature 0 is greedy; top_k 0 and top_p 1 disable (top-p:
    arXiv:1904.09751).
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.temperature >= 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature and top_k must not be negative, top_p in (0, 1]")
        if self.max_new_tokens < 1:
            raise ValueError("max_new_tokens must be positive")


class Sampler:
    """Samples token ids; reproducible for a seed, and independent of torch's global generator."""

    def __init__(self, sampling: Sampling, seed: int | None = None) -> None:
        self._s = sampling
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        """logits [V] -> id."""
        # The temperature is so low that the division would overflow: use greedy sampling.
        if self._s.temperature < 1e-4:
            return int(torch.argmax(logits))
        scores = logits.float() / self._s.temperature
        ids = None
        if 0 < self._s.top_k < scores.numel():
            scores, ids = torch.topk(scores, self._s.top_k)
        probabilities = torch.softmax(scores, dim=-1)
        if self._s.top_p < 1:
            ordered, order = torch.sort(probabilities, descending=True)
            # Keep the smallest set that reaches top_p: drop tokens whose preceding sum exceeds it.
            ordered[ordered.cumsum(0) - ordered >= self._s.top_p] = 0
            probabilities = torch.zeros_like(probabilities).scatter_(0, order, ordered)
        drawn = int(torch.multinomial(probabilities, 1, generator=self._generator))
        return drawn if ids is None else int(ids[drawn])
