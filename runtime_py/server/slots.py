"""Conversations that are kept warm: a text each over the one program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_py.exclusive import Exclusive
from runtime_py.sessions import Session

if TYPE_CHECKING:
    from runtime_py.llm import LLM
    from runtime_py.text_cache import TextCache

_SHARED = 16
"""Fewest tokens at the beginning that are worth a copy of another conversation."""


class Slot(Session):
    """A session that may be used while the answer of another one is being generated, by the same
    thread: each token brings the session's text into the program's memory.
    """

    def __init__(self, llm: LLM) -> None:
        super().__init__(llm, (), None)
        self._lock = Exclusive()

    def beginning(self, count: int) -> Slot:
        """Another one that holds the first ``count`` tokens of this one's text."""
        with self._lock:
            cache = self._cache.fork()
        made = Slot(self._llm)
        made._hold(cache, count)
        return made

    def _hold(self, cache: TextCache, count: int) -> None:
        with self._lock:
            self._own(cache)
            cache.truncate(count)


class Slots:
    """
    Args:
        most: conversations.
    """

    def __init__(self, llm: LLM, most: int) -> None:
        self._free = [Slot(llm) for _ in range(most)]
        """That which was used last stands at the end."""
        self._llm, self._copies = llm, llm.engine.gives_state

    def take(self, ids: list[int]) -> Slot:
        """A free one, of which there must be one: that which continues the prompt's conversation;
        or else the one that was used least recently, with what another one has in common with the
        prompt.
        """
        shared = [_common(slot.tokens, ids) for slot in self._free]
        most = max(range(len(shared)), key=shared.__getitem__)
        best, count = self._free[most], shared[most]
        if 2 * count >= best.position > 0 or len(self._free) == 1:
            self._free.pop(most)
            return best
        oldest = self._free.pop(0)
        if oldest is best or count < _SHARED or not self._copies:
            return oldest
        oldest.close()
        try:
            return best.beginning(count)
        except BaseException:  # such as too little memory: the slot is not lost
            self._free.insert(0, Slot(self._llm))
            raise

    def give_back(self, slot: Slot) -> None:
        self._free.append(slot)


def _common(first: list[int], second: list[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
