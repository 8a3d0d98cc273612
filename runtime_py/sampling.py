"""Sample the next token from logits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from runtime_py.errors import ArgumentError, BundleRuntimeError, shown


class _Rule(NamedTuple):
    """Values that a setting takes: whole numbers only, or any; ``low`` to ``high``."""

    whole: bool
    low: float
    high: float
    low_too: bool
    text: str

    def allows(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        whole = isinstance(value, int)
        return (
            (whole or math.isfinite(value))
            and value <= self.high
            and (value > self.low or (self.low_too and value == self.low))
        )


_MOST = 2**63 - 1
_RULES = {
    "temperature": _Rule(False, 0, 1e30, True, "a number from 0 to 1e30"),
    "top_k": _Rule(True, 0, _MOST, True, "a whole number from 0 to 2**63 - 1"),
    "top_p": _Rule(False, 0, 1, False, "in (0, 1]"),
    "max_new_tokens": _Rule(True, 1, _MOST, True, "a whole number from 1 to 2**63 - 1"),
    "min_p": _Rule(False, 0, 1, True, "in [0, 1]"),
    "repetition_penalty": _Rule(False, 1e-30, 1e30, True, "a number from 1e-30 to 1e30"),
}


@dataclass(frozen=True)
class Sampling:
    """Sampling settings, computed and applied in the order of transformers' logits processors.

    Attributes:
        temperature: 0 is greedy.
        top_k: sample only from this many most likely tokens; 0 is off.
        top_p: sample from the smallest set of most likely tokens with this total probability
            (arXiv:1904.09751); 1 is off.
        max_new_tokens: most tokens that are generated.
        min_p: sample only from tokens with this probability, as a fraction of the most likely
            token's (arXiv:2407.01082); 0 is off.
        repetition_penalty: divides positive logits of the tokens in prompt and answer, and
            multiplies negative ones (arXiv:1909.05858); 1 is off. Applies to greedy decoding too.

    Raises:
        ArgumentError: a value is out of its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 256
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            value = getattr(self, name)
            if not rule.allows(value):
                raise ArgumentError(f"{name} must be {rule.text}, not {shown(value)}")


SETTINGS = tuple(field.name for field in fields(Sampling))
"""Names of the settings."""


class Sampler:
    """Samples token ids; reproducible for a seed, and independent of torch's global generator.

    Args:
        seen: ids of the prompt, to which the repetition penalty applies.
        never: ids that are not sampled.
    """

    def __init__(
        self,
        sampling: Sampling,
        seed: int | None = None,
        seen: Iterable[int] = (),
        never: Tensor | None = None,
    ) -> None:
        self._s = sampling
        self._never = never
        self._seen = set(seen) if sampling.repetition_penalty != 1 else None
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        """logits [V] -> id, which counts as seen from now on.

        Raises:
            BundleRuntimeError: no logit is a finite number.
        """
        scores = self._scores(logits)
        if not bool(torch.isfinite(scores.max())):
            raise BundleRuntimeError(
                "the program's logits are not finite numbers",
                fix="llm-export verify BUNDLE; then export it again",
            )
        # Below this temperature the division would overflow: use greedy sampling.
        if self._s.temperature < 1e-4:
            token = int(torch.argmax(scores))
        else:
            probabilities, ids = _distribution(scores, self._s)
            drawn = int(torch.multinomial(probabilities, 1, generator=self._generator))
            token = drawn if ids is None else int(ids[drawn])
        if self._seen is not None:
            self._seen.add(token)
        return token

    def probabilities(self, logits: Tensor) -> Tensor:
        """logits [V] -> probabilities [V] from which the next token is drawn. With a temperature of
        0, all of it is the most likely token's.
        """
        scores = self._scores(logits)
        whole = torch.zeros_like(scores)
        if self._s.temperature < 1e-4:
            whole[torch.argmax(scores)] = 1
            return whole
        probabilities, ids = _distribution(scores, self._s)
        probabilities = probabilities / probabilities.sum()
        return probabilities if ids is None else whole.scatter_(0, ids, probabilities)

    def _scores(self, logits: Tensor) -> Tensor:
        scores = self._penalized(logits.float())
        return scores if self._never is None else scores.index_fill(0, self._never, -math.inf)

    def _penalized(self, scores: Tensor) -> Tensor:
        if not self._seen:
            return scores
        ids = torch.tensor(sorted(self._seen))
        known = scores[ids]
        penalty = float(self._s.repetition_penalty)
        return scores.scatter(0, ids, torch.where(known < 0, known * penalty, known / penalty))


def _distribution(scores: Tensor, s: Sampling) -> tuple[Tensor, Tensor | None]:
    """(probabilities [K], not normalized, their ids [K]); None: the ids are 0 to V - 1."""
    scores, ids = scores / float(s.temperature), None
    if 0 < s.top_k < scores.numel():
        scores, ids = torch.topk(scores, s.top_k)
    probabilities = torch.softmax(scores, dim=-1)
    if s.top_p < 1:
        ordered, order = torch.sort(probabilities, descending=True)
        # Keep the smallest set that reaches top_p: drop tokens whose preceding sum exceeds it.
        # The first one stays: as float32, top_p may be 0.
        ordered[1:][(ordered.cumsum(0) - ordered)[1:] >= s.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter_(0, order, ordered)
    if s.min_p > 0:
        probabilities[probabilities < s.min_p * probabilities.max()] = 0
    return probabilities, ids
