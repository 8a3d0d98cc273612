"""The pieces of an answer, as they are decoded."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from inspect import GEN_RUNNING, getgeneratorstate

from runtime_py.delta import Delta
from runtime_py.exclusive import Exclusive
from runtime_py.stats import Generation


class Stream(Iterator[str]):
    """Iterates over pieces of text; ``deltas`` also gives reasoning and calls of tools. Close it,
    use it in a ``with`` block, or read it to its end: until then the LLM answers nothing else.

    Attributes:
        result: the answer so far; its ``finish`` is empty until the end.
    """

    def __init__(
        self,
        pieces: Generator[Delta, None, None],
        result: Generation,
        lock: Exclusive,
        stopped: threading.Event,
    ) -> None:
        self._pieces, self.result, self._lock, self._stopped = pieces, result, lock, stopped
        self._holds = False

    def __next__(self) -> str:
        while True:
            delta = self._next()
            if delta.kind == "text":
                return delta.text

    def deltas(self) -> Iterator[Delta]:
        """What is left of the answer, with its reasoning and calls of tools."""
        while True:
            try:
                yield self._next()
            except StopIteration:
                return

    def _next(self) -> Delta:
        if self._holds:
            self._lock.adopt()
        self._holds = False
        delta = next(self._pieces)
        self._holds = True
        return delta

    def read(self) -> Generation:
        """Read it to its end, and return the whole answer."""
        for _ in self:
            pass
        return self.result

    def cancel(self) -> None:
        """End the answer after the token that is being computed; ``finish`` is then cancelled. Any
        thread may call it.
        """
        self._stopped.set()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the answer here; while another thread reads it, as ``cancel``."""
        try:
            self._pieces.close()
        except ValueError:
            if getgeneratorstate(self._pieces) != GEN_RUNNING:
                raise
            self.cancel()
        else:
            self._holds = False
