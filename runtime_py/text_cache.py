"""The text that a program's KV cache holds: feed only what is new of the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from torch import Tensor

from runtime_py.engines.engine import Engine, Follows
from runtime_py.parked import Parked
from runtime_py.program_state import Copied
from runtime_py.rows import SavedRows
from runtime_py.sampling.logprobs import TokenLogprob, token_logprob
from runtime_py.stats import Stats
from runtime_py.tenancy import Tenancy
from runtime_py.token_ids import FIRST_ROW, before_rows, checked_ids, common_length

_CHUNK = 64
"""Most tokens whose logits are held at once."""
_TAIL = 64
"""Most tokens at the end of a prompt that are expected to differ in the next one."""


class TextCache:
    """One text of a program.

    Args:
        tenancy: of the program, if there are further texts over it.

    Attributes:
        ids: tokens whose keys and values the program holds, or its copy for this text.
        logits: [V] after the last of ``tokens``; None if they are not known.
        shorten: makes room for an answer that goes on behind the end of the context: ids -> those
            that are kept. None: the answer ends there.
        rows: what has been copied out of the program.
        closed: whether it can no longer be used.
    """

    def __init__(self, program: Engine, tenancy: Tenancy | None = None) -> None:
        self.program = program
        self.ids: list[int] = []
        self.logits: Tensor | None = None
        self.shorten: Callable[[list[int]], list[int]] | None = None
        self.rows = SavedRows()
        self.closed = False
        self._tenancy = tenancy or Tenancy(program)
        self._parked: Parked | None = None
        self._missing: list[int] = []
        """To be fed again: a program that does not give out its state has lost them."""
        self._prompt_length, self._tail = 0, 0

    @property
    def tokens(self) -> list[int]:
        """The whole text."""
        return [*self.ids, *self._missing]

    @property
    def position(self) -> int:
        """Number of tokens."""
        return len(self.ids) + len(self._missing)

    @property
    def full(self) -> bool:
        """Whether no further token fits."""
        return self.program.full and self.shorten is None

    @property
    def bytes(self) -> int:
        """Memory of what has been copied out, part of which forks may share."""
        return self.rows.bytes + (self._parked.bytes if self._parked else 0)

    def reset(self) -> None:
        """Empty the cache."""
        self._missing, self._parked = [], None
        if self._tenancy.holds(self):
            self.program.reset()
        self._cut(0)

    def close(self) -> None:
        """Release what has been copied out. What is in memory may still serve a fork."""
        self.closed, self._parked, self.rows = True, None, SavedRows()
        self.ids, self._missing, self.logits = [], [], None

    def step(self, token: int) -> Tensor:
        """Feed the next token; returns the logits [V] after it."""
        return self.extend([token])

    @property
    def chunk(self) -> int:
        """Most tokens of an answer that ``extend`` takes now, at least 1. A program with steps of
        fixed lengths would pad them.
        """
        if not self.program.dynamic:
            return 1
        self._enter()
        room = self.program.context_length - self.program.position
        most = self.program.prefill_length
        return max(1, most if self.program.attention_sink else min(most, room))

    def extend(self, tokens: list[int]) -> Tensor:
        """Feed the next tokens, at most ``chunk``; returns the logits [V] after the last."""
        self._enter()
        self._complete()
        if self.program.full and self.shorten is not None:
            self.feed(self.shorten(self.ids), Stats())
        self.logits = None
        logits = _alone(self.program.step(tokens)[0, -1])
        self.ids += tokens
        self.logits = logits
        return logits

    def steps(self, tokens: list[int]) -> Tensor:
        """Feed several tokens, which fit; returns the logits [n, V] after each."""
        self._enter()
        self._complete()
        self.logits = None
        logits = self.program.step(tokens, every=True)[0]
        self.ids += tokens
        self.logits = _alone(logits[-1])
        return logits

    def take_back(self, count: int, logits: Tensor) -> None:
        """Forget the last ``count`` tokens; ``logits`` [V] are those before them."""
        self.truncate(self.position - count)
        self.logits = _alone(logits)

    def feed(self, ids: list[int], stats: Stats) -> Tensor:
        """Feed the part of the prompt that is not in the cache; return the logits [V] of its last
        token.
        """
        begin = time.perf_counter()
        self._enter()
        known = self.logits is not None and ids == self.ids
        # A prompt that was cancelled may have led the program on.
        if known and self.program.reset(len(ids)) == len(ids):
            assert self.logits is not None
            stats.prompt_tokens = stats.cached_tokens = self._prompt_length = len(ids)
            stats.prefill_seconds = time.perf_counter() - begin
            return self.logits
        common = before_rows(ids, common_length(self.tokens, ids[:-1]))
        shared = self.program.reset(min(common, len(self.ids)))
        if shared < common:
            self._learn_tail(self._prompt_length - common)
        # A failure may leave the cache in an unknown state: count only slots that are certainly
        # valid. The text is then what it has in common with the prompt.
        self._cut(shared)
        self._missing = ids[shared:common]
        stored = self._tenancy.prefixes
        if stored is not None:
            shared = stored.longer(self, ids, shared)
        logits = _alone(self._prefill(ids, shared))
        stats.prefill_seconds = time.perf_counter() - begin
        stats.prompt_tokens, stats.cached_tokens = len(ids), shared
        self.ids, self._missing = list(ids), []
        self._prompt_length, self.logits = len(ids), logits
        if stored is not None:
            stored.keep(self, shared)
        return logits

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` tokens. What a program cannot go back to is fed again, from the
        nearest mark or the beginning."""
        kept = self.tokens[:count]
        if not kept:
            return self.reset()
        if len(kept) == self.position:
            return None
        self._enter()
        self._go_back(min(count, len(self.ids)), kept)
        self._complete()

    def another(self) -> TextCache:
        """An empty text over the same program."""
        return TextCache(self.program, self._tenancy)

    def fork(self) -> TextCache:
        """A text that begins as this one, over the same program. What has been copied out already
        is shared."""
        copy = self.another()
        self._enter()
        self.leave()
        copy.ids, copy._missing, copy.logits = list(self.ids), list(self._missing), self.logits
        copy.rows, copy._parked = self.rows.copy(), self._parked
        copy._prompt_length, copy._tail = self._prompt_length, self._tail
        return copy

    def leave(self) -> None:
        """Copy out what another text will overwrite. It stays in memory until then."""
        self._go_back(len(self.ids))
        if self.program.gives_state:
            self.rows.add(self.program.rows(self.rows.count))
            self._parked = self.program.parked()

    def resume(self, memory: SavedRows) -> None:
        """Put back what ``leave`` has copied, but for rows that are in memory already."""
        if self._parked is None:
            self.program.reset()
        else:
            self.program.resume(self._parked, self.rows, self.rows.common(memory))
            self._parked = None
        self._follow()

    def begin_again(self, memory: Sequence[int]) -> None:
        """Go on from the tokens that the text has in common with that in memory."""
        tokens = self.tokens
        shared = self.program.reset(common_length(memory, tokens))
        self.ids, self._missing = tokens[:shared], tokens[shared:]
        self.logits = None if self._missing else self.logits
        self._follow()

    def _prefill(self, ids: list[int], start: int) -> Tensor:
        """Feed ids from ``start`` on, and mark where the next prompt may go on from."""
        cut = before_rows(ids, len(ids) - self._tail)
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
        self._enter()
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
        self._enter()
        self._go_back(len(self.ids))
        self._complete()
        return (list(self.ids), *self.program.copied())

    def put(
        self, ids: Sequence[int], furthest: int, copied: Copied, logits: Tensor | None = None
    ) -> None:
        """Go on from what ``taken`` has returned."""
        checked = checked_ids(ids, None)
        checked_ids([each for each in checked if each < FIRST_ROW], self.program.vocab_size)
        self.program.check_ids(checked)
        self._enter()
        self.program.put(copied, len(checked), furthest)
        self._cut(0)
        self._missing, self._prompt_length = [], 0
        self.ids = list(checked)
        if checked:
            self.rows.add(self.program.lasting(copied))
            if logits is not None and len(logits) == (self.program.vocab_size or len(logits)):
                self.logits = logits
        self._follow()

    def known_logits(self) -> Tensor | None:
        """The logits [V] after the last token, which is fed again if they are not known; None if
        there is none."""
        if self.logits is not None and not self._missing:
            return self.logits
        self._enter()
        self._complete()
        if self.logits is None and self.ids:
            length = self._prompt_length
            self.feed(list(self.ids), Stats())
            self._prompt_length = length
        return self.logits

    def _enter(self) -> None:
        self._tenancy.enter(self)

    def _follow(self) -> None:
        """Tell an engine whose positions depend on the text before which text it has now."""
        if isinstance(self.program, Follows):
            self.program.follow(self.ids)

    def _complete(self) -> None:
        """Feed again what is missing."""
        if self._missing:
            ids, at = self.tokens, self.program.reset(len(self.ids))
            self.logits = _alone(self.program.prefill(ids[at:]))
            self.ids, self._missing = ids, []
            self.program.mark()

    def _go_back(self, count: int, kept: list[int] | None = None) -> None:
        """Let the program go back to where it holds ``count`` tokens of the text, or to a mark
        before. What it has lost of those that are ``kept`` (None: all) is missing then."""
        tokens = self.tokens if kept is None else kept
        at = self.program.reset(count)
        self._cut(at)
        self._missing = tokens[at:]

    def _cut(self, count: int) -> None:
        """Keep what is known of the first ``count`` tokens."""
        if count < len(self.ids):
            self.logits = None
        self.ids = self.ids[:count]
        self.rows.cut(count)


def _alone(row: Tensor) -> Tensor:
    """Logits that are kept, without the memory of those of a whole step."""
    return row if row.untyped_storage().nbytes() == row.nbytes else row.clone()
