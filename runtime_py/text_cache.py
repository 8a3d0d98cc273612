"""The text that a program's KV cache holds: feed only what is new of the next one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor

from runtime_py.program import Program
from runtime_py.program_state import Copied
from runtime_py.sampling.logprobs import TokenLogprob, token_logprob
from runtime_py.stats import Stats
from runtime_py.token_ids import checked_ids

_CHUNK = 64
"""Most tokens whose logits are held at once."""
_TAIL = 64
"""Most tokens at the end of a prompt that are expected to differ in the next one."""


class TextCache:
    """A program, and ``ids``, those whose keys and values its cache holds."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ids: list[int] = []
        self._prompt_length, self._tail = 0, 0

    @property
    def full(self) -> bool:
        """Whether no further token fits."""
        return self.program.full

    def reset(self) -> None:
        """Empty the cache."""
        self.ids = []
        self.program.reset()

    def step(self, token: int) -> Tensor:
        """Feed the next token; returns the logits [V] after it."""
        logits = self.program.step([token])[0, -1]
        self.ids.append(token)
        return logits

    @property
    def chunk(self) -> int:
        """Most tokens of an answer that ``extend`` takes now, at least 1. A program with steps of
        fixed lengths would pad them.
        """
        if not self.program.dynamic:
            return 1
        room = self.program.context_length - self.program.position
        most = self.program.prefill_length
        return max(1, most if self.program.attention_sink else min(most, room))

    def extend(self, tokens: list[int]) -> Tensor:
        """Feed the next tokens, at most ``chunk``; returns the logits [V] after the last."""
        if len(tokens) == 1:
            return self.step(tokens[0])
        logits = self.program.step(tokens)[0, -1]
        self.ids += tokens
        return logits

    def feed(self, ids: list[int], stats: Stats) -> Tensor:
        """Feed the part of the prompt that is not in the cache; return the logits [V] of its last
        token.
        """
        shared = 0
        while shared < min(len(self.ids), len(ids) - 1) and self.ids[shared] == ids[shared]:
            shared += 1
        common, shared = shared, self.program.reset(shared)
        if shared < common:
            self._learn_tail(self._prompt_length - common)
        # A failure may leave the cache in an unknown state: count only slots that are certainly
        # valid.
        self.ids = self.ids[:shared]
        begin = time.perf_counter()
        logits = self._prefill(ids, shared)
        stats.prefill_seconds = time.perf_counter() - begin
        stats.prompt_tokens, stats.cached_tokens = len(ids), shared
        self.ids, self._prompt_length = list(ids), len(ids)
        return logits

    def _prefill(self, ids: list[int], start: int) -> Tensor:
        """Feed ids from ``start`` on, and mark where the next prompt may go on from."""
        cut = len(ids) - self._tail
        if start < cut < len(ids):
            self.program.prefill(ids[start:cut])
            self.program.mark()
            start = cut
        logits = self.program.prefill(ids[start:])
        self.program.mark()
        return logits

    def _learn_tail(self, changed: int) -> None:
        """A prompt has differed from the last one in the ``changed`` tokens at its end, such as the
        beginning of an answer that a chat template writes and leaves out of the history.
        """
        if 0 < changed <= _TAIL:
            self._tail = max(self._tail, changed)

    def scores(self, ids: list[int], top: int) -> list[TokenLogprob]:
        """Log-probabilities of ``ids`` but the first, each after those before it."""
        self.reset()
        size = min(self.program.prefill_length, _CHUNK)
        if size > 1 and len(ids) > 1:
            # A program for answers alone returns the logits of a step's last token.
            size = size if self.program.step(ids[:2]).shape[1] == 2 else 1
            self.reset()
        found: list[TokenLogprob] = []
        for start in range(0, len(ids) - 1, size):
            fed = ids[start : min(start + size, len(ids) - 1)]
            logits = self.program.step(fed)[0]
            following = ids[start + 1 : start + 1 + len(fed)]
            found += [token_logprob(x, t, top) for x, t in zip(logits, following, strict=True)]
            self.ids += fed
        return found

    def taken(self) -> tuple[list[int], int, Copied]:
        """(ids, furthest position, copy of the program's state)"""
        self.ids = self.ids[: self.program.reset(len(self.ids))]
        return (list(self.ids), *self.program.copied())

    def put(self, ids: Sequence[int], furthest: int, copied: Copied) -> None:
        """Go on from what ``taken`` has returned."""
        checked = checked_ids(ids, self.program.vocab_size)
        self.ids, self._prompt_length = [], 0
        self.program.put(copied, len(checked), furthest)
        self.ids = list(checked)
