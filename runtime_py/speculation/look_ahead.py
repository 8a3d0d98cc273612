"""Feed an answer's tokens, and ahead of them those that are proposed."""

from __future__ import annotations

import time
from itertools import takewhile
from typing import TYPE_CHECKING

from torch import Tensor

from runtime_py.errors import BundleRuntimeError
from runtime_py.speculation.pace import Pace
from runtime_py.speculation.proposer import Proposer
from runtime_py.speculation.trial import trials_of
from runtime_py.stats import Stats
from runtime_py.text_cache import TextCache
from runtime_py.token_ids import FIRST_ROW

if TYPE_CHECKING:
    from runtime_py.engines.engine import Engine
    from runtime_py.tokenizer import TextTokenizer


class LookAhead:
    """Takes the place of a ``TextCache`` in the decode loop: ``step`` returns the same logits, but
    those after a proposed token are there already. At the end of a ``with`` block the cache holds
    the answer, and nothing that was proposed in vain.

    Args:
        limit: tokens of the answer, at most.

    Raises:
        BundleRuntimeError: the program cannot check tokens of this proposer.
    """

    def __init__(
        self, cache: TextCache, proposer: Proposer, tokenizer: TextTokenizer, limit: int
    ) -> None:
        _check(cache.program)
        proposer.check(cache.program, tokenizer)
        self._cache, self._proposer = cache, proposer
        self._left, self._generated = limit, 0
        self._stats = Stats()
        self._trials = trials_of(cache.program)
        self._pace = Pace(self._trials.costs, 0)
        self._rows: list[Tensor] = []
        self._proposed: list[int] = []
        self._used = 0

    def feed(self, ids: list[int], stats: Stats) -> Tensor:
        """As ``TextCache.feed``.

        Raises:
            BundleRuntimeError: the program computes several tokens at once in another way than one
                by one.
        """
        logits, self._stats = self._cache.feed(ids, stats), stats
        program = self._cache.program
        trial = self._trials.at(program, ids)
        if trial is not None and trial.difference and self._proposer.exact:
            raise BundleRuntimeError(
                f"the program computes {trial.length} tokens at once in another way than one by "
                f"one (logits differ by {trial.difference:.2g}): answers would not be the same",
                where=str(program.path),
                fix="export with backend=xnnpack runtime.verify_length=16, or exact=False to "
                "accept other answers",
            )
        most = 0 if trial is None else min(self._proposer.most, trial.length - 1)
        self._pace = Pace(self._trials.costs, most)
        return logits

    @property
    def chunk(self) -> int:
        """Most tokens that are fed without looking at the logits between them."""
        return 1

    def extend(self, tokens: list[int]) -> Tensor:
        """Feed tokens; returns the logits [V] after the last one."""
        for token in tokens[:-1]:
            self.step(token)
        return self.step(tokens[-1])

    @property
    def full(self) -> bool:
        """Whether no further token fits."""
        return self._cache.full and not self._ahead

    @property
    def _ahead(self) -> int:
        """Number of tokens that were fed, and have not been sampled yet."""
        return len(self._proposed) - self._used

    def step(self, token: int) -> Tensor:
        """Feed the next token, if it was not proposed; returns the logits [V] after it."""
        self._left, self._generated = self._left - 1, self._generated + 1
        if self._ahead:
            if token == self._proposed[self._used]:
                self._used += 1
                self._stats.accepted_tokens += 1
                return self._rows[self._used]
            self._take_back()
        elif self._proposed:
            self._settle()
        found = self._propose(token)
        begin = time.perf_counter()
        if found:
            self._rows, self._proposed, self._used = [], found, 0
            self._rows = list(self._cache.steps([token, *found]))
            self._stats.proposed_tokens += len(found)
            logits = self._rows[0]
        else:
            logits = self._cache.step(token)
        self._trials.costs.measured(1 + len(found), time.perf_counter() - begin)
        return logits

    def _propose(self, token: int) -> list[int]:
        program = self._cache.program
        count = min(self._pace.count(self._generated), self._left - 1)
        if not program.attention_sink:
            count = min(count, program.context_length - program.position - 1)
        if count < 1 or not program.can_undo(count + 1):
            return []
        begin = time.perf_counter()
        found = self._proposer.propose([*self._cache.ids, token], count)[:count]
        found = list(takewhile(lambda each: each < FIRST_ROW, found))
        self._pace.proposed(len(found), time.perf_counter() - begin)
        return found[: self._able()] if found else found

    def _able(self) -> int:
        """Most tokens that may be proposed at this length of the text, which an answer changes."""
        trial = self._trials.at(self._cache.program, self._cache.ids)
        if trial is None or (trial.difference and self._proposer.exact):
            return 0
        return trial.length - 1

    def _take_back(self) -> None:
        """Forget what was proposed from the first token on that was not sampled."""
        if self._ahead:
            self._cache.take_back(self._ahead, self._rows[self._used])
        self._settle()

    def _settle(self) -> None:
        self._pace.checked(self._used, len(self._proposed))
        self._rows, self._proposed, self._used = [], [], 0

    def __enter__(self) -> LookAhead:
        return self

    def __exit__(self, *error: object) -> None:
        if self._rows and self._ahead and not self._cache.program.closed:
            self._take_back()


def _check(program: Engine) -> None:
    """Raises BundleRuntimeError if the program cannot check several tokens in one step, or cannot
    go back to before them.
    """
    if program.rows_length < 2:
        raise BundleRuntimeError(
            "the program returns the logits of one token per step, so it cannot check proposed "
            "tokens", where=str(program.path), fix="export with runtime.verify_length=16",
        )  # fmt: skip
    if program.recurrent:
        raise BundleRuntimeError(
            "the program has a recurrent state, which cannot go back to before a token that was "
            "proposed in vain: to copy it and to feed the others again costs more than is gained",
            where=str(program.path), fix="generate without speculate",
        )  # fmt: skip
