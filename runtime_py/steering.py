"""Choose the next token of an answer: sampled, or one that has to follow."""

from __future__ import annotations

from torch import Tensor

from runtime_py.answer_parser import AnswerParser
from runtime_py.controls import Controls
from runtime_py.reasoning import EARLY
from runtime_py.sampling import Sampler
from runtime_py.stats import Stats
from runtime_py.tokenizer import TextTokenizer


class Steering:
    """Samples, but ends reasoning when its budget is spent, and begins the answer as it has to."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        controls: Controls,
        parser: AnswerParser,
        stats: Stats,
        sampler: Sampler,
    ) -> None:
        self._tokenizer, self._parser, self._stats = tokenizer, parser, stats
        self._sampler, self._budget = sampler, controls.thinking_budget
        self._format = controls.answer_format
        self._opening = self._format.opening
        self._forced: list[int] = []

    @property
    def forces(self) -> bool:
        """Whether the next token is given."""
        if not self._forced:
            self._forced = self._due()
        return bool(self._forced)

    def __call__(self, logits: Tensor) -> int:
        """logits [V] -> id."""
        return self._sampler.take(self._forced.pop(0)) if self.forces else self._sampler(logits)

    def _due(self) -> list[int]:
        """The tokens that have to follow now."""
        reasoning = self._format.reasoning
        if self._parser.kind == "reasoning" and reasoning is not None:
            if self._budget is None or self._stats.reasoning_tokens < self._budget:
                return []
            said, self._budget = EARLY if self._budget else "", None
            return self._tokenizer.encode(said + reasoning.end + reasoning.after, raw=False)
        if self._opening and self._parser.fresh:
            opening, self._opening = self._opening, ""
            return self._tokenizer.encode(opening, raw=False)
        return []
