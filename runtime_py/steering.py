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
        # Asked of the first logits; None: it is not asked.
        self._begin = self._begin_of_reasoning()
        self._forced: list[int] = []

    @property
    def forces(self) -> bool:
        """Whether the next token is given."""
        if not self._forced:
            self._forced = self._due()
        return bool(self._forced)

    def __call__(self, logits: Tensor) -> int:
        """logits [V] -> id."""
        begin, self._begin = self._begin, None
        if begin is not None and begin == int(self._sampler.probabilities(logits).argmax()):
            self._forced = [begin]
        return self._sampler.take(self._forced.pop(0)) if self.forces else self._sampler(logits)

    def forced(self) -> int | None:
        """The next token if it is given. The logits before it are not needed."""
        return self._sampler.take(self._forced.pop(0)) if self.forces else self._sampler.forced()

    @property
    def finished(self) -> bool:
        """Whether nothing can follow."""
        return self._sampler.finished

    def _begin_of_reasoning(self) -> int | None:
        """The token with which a model may begin reasoning before the opening of its answer, if
        the prompt does not: what an answer has to be holds after its reasoning."""
        reasoning = self._format.reasoning
        if not self._opening or self._format.opened or reasoning is None:
            return None
        begin = self._tokenizer.encode(reasoning.begin, raw=False)
        # The first of several tokens may begin other texts, too.
        return begin[0] if len(begin) == 1 else None

    def _due(self) -> list[int]:
        """The tokens that have to follow now."""
        reasoning = self._format.reasoning
        if self._parser.kind == "reasoning" and reasoning is not None:
            if self._budget is None or self._stats.reasoning_tokens < self._budget:
                return []
            said, self._budget = EARLY if self._budget else "", None
            return self._tokenizer.encode(said + reasoning.end + reasoning.after, raw=False)
        if self._opening and self._parser.fresh and self._begin is None:
            opening, self._opening = self._opening, ""
            return self._tokenizer.encode(opening, raw=False)
        return []
