"""The settings of sampling, and the values that they take."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

from runtime_py.errors import ArgumentError, shown


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
    "typical_p": _Rule(False, 0, 1, False, "in (0, 1]"),
    "presence_penalty": _Rule(False, -1e30, 1e30, True, "a number from -1e30 to 1e30"),
    "frequency_penalty": _Rule(False, -1e30, 1e30, True, "a number from -1e30 to 1e30"),
}


@dataclass(frozen=True)
class Sampling:
    """Sampling settings, applied in the order of transformers' logits processors: penalties, then
    temperature, top-k, top-p, min-p and typical sampling.

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
        typical_p: sample from the tokens whose information is nearest to the expected one, of this
            total probability (locally typical sampling, arXiv:2202.00666); 1 is off.
        presence_penalty: subtracted from the logits of the tokens in the answer so far, as in
            OpenAI's API; 0 is off. Applies to greedy decoding too.
        frequency_penalty: the same, times the number of times that the answer has the token.

    Raises:
        ArgumentError: a value is out of its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 256
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    typical_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            value = getattr(self, name)
            if not rule.allows(value):
                raise ArgumentError(f"{name} must be {rule.text}, not {shown(value)}")


SETTINGS = tuple(field.name for field in fields(Sampling))
"""Names of the settings."""
