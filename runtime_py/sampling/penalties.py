"""What changes logits because of the tokens that are there already, or that the caller names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from runtime_py.sampling.settings import Sampling


class Penalties:
    """Adds the bias of tokens, then takes penalties off, in the order of transformers' processors;
    presence and frequency count the answer's tokens alone, as in OpenAI's API.

    Args:
        seen: ids of the prompt, to which the repetition penalty applies.
        never: ids that are not sampled.
        bias: id -> what is added to its logit.
    """

    def __init__(
        self,
        sampling: Sampling,
        seen: Iterable[int] = (),
        never: Tensor | None = None,
        bias: Mapping[int, float] | None = None,
    ) -> None:
        self._never = never
        self._bias = (torch.tensor(list(bias)), torch.tensor(list(bias.values()))) if bias else None
        self._repetition = float(sampling.repetition_penalty)
        self._known = set(seen) if self._repetition != 1 else set()
        self._ids = torch.tensor(sorted(self._known), dtype=torch.long)
        self._presence = float(sampling.presence_penalty)
        self._frequency = float(sampling.frequency_penalty)
        self._counts = bool(self._presence or self._frequency)
        self._off: Tensor | None = None
        self._before: list[int] = []
        """Tokens that were added before the size of the vocabulary was known."""

    def add(self, token: int) -> None:
        """Count a token of the answer."""
        if self._repetition != 1 and token not in self._known:
            self._known.add(token)
            self._ids = torch.cat((self._ids, torch.tensor([token])))
        if self._counts and self._off is None:
            self._before.append(token)
        elif self._off is not None:
            first = self._off[token] == 0
            self._off[token] += self._frequency + (self._presence if first else 0.0)

    def __call__(self, logits: Tensor) -> Tensor:
        """logits [V] -> scores [V] float32; a new tensor, unless nothing applies."""
        scores = logits.float()
        if self._bias is not None:
            scores = scores.index_add(0, *self._bias)
        if self._ids.numel():
            known = scores[self._ids]
            changed = torch.where(known < 0, known * self._repetition, known / self._repetition)
            scores = scores.scatter(0, self._ids, changed)
        if self._counts:
            if self._off is None:
                self._off = torch.zeros_like(scores)
                for token in self._before:
                    self.add(token)
            scores = scores - self._off
        return scores if self._never is None else scores.index_fill(0, self._never, -math.inf)
