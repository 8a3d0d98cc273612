"""Responses that later ones may go on from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """
    Attributes:
        messages: the conversation, with the answer.
        response: as it was sent.
    """

    messages: list[dict[str, Any]]
    response: dict[str, Any]

    @property
    def size(self) -> int:
        """About how many characters it has."""
        return sum(len(str(message)) for message in self.messages) + len(str(self.response))


class Memory:
    """Forgets those that were not used for longest.

    Args:
        most: responses.
        size: characters of all of them.
    """

    def __init__(self, most: int = 1000, size: int = 64_000_000) -> None:
        self._most, self._size, self._used = most, size, 0
        self._kept: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._lock = threading.Lock()  # read by the threads that check requests

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, id: str, kept: Kept) -> None:
        size = kept.size
        with self._lock:
            self._kept[id] = (kept, size)
            self._used += size
            while self._kept and (len(self._kept) > self._most or self._used > self._size):
                self._used -= self._kept.popitem(last=False)[1][1]

    def get(self, id: str) -> Kept | None:
        with self._lock:
            found = self._kept.get(id)
            if found is None:
                return None
            self._kept.move_to_end(id)
            return found[0]

    def remove(self, id: str) -> bool:
        """Whether it was there."""
        with self._lock:
            found = self._kept.pop(id, None)
            self._used -= found[1] if found else 0
            return found is not None
