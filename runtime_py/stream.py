"""The pieces of an answer, as they are decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from runtime_py.exclusive import Exclusive
from runtime_py.stats import Generation


class Stream(Iterator[str]):
    """Iterates over pieces of text. Close it, use it in a ``with`` block, or read it to its end:
    until then the LLM answers nothing else.

    Attributes:
        result: the answer so far; its ``finish`` is empty until the end.
    """

    def __init__(
        self, pieces: Generator[str, None, None], result: Generation, lock: Exclusive
    ) -> None:
        self._pieces, self.result, self._lock = pieces, result, lock
        self._holds = False

    def __next__(self) -> str:
        if self._holds:
            self._lock.adopt()
        self._holds = False
        piece = next(self._pieces)
        self._holds = True
        return piece

    def read(self) -> Generation:
        """Read it to its end, and return the whole answer."""
        for _ in self:
            pass
        return self.result

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the answer here."""
        self._holds = False
        self._pieces.close()
