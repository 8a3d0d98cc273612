"""Requests that wait: clients take turns, whatever number of requests each has sent."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Full(Exception):
    """As many wait as may."""


class FairQueue(Generic[Item]):
    """First come, first served for each client; clients in turns.

    Args:
        most: items that may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return self._count

    def put(self, client: str, item: Item) -> None:
        """
        Raises:
            Full: as many wait as may.
        """
        with self._changed:
            if self._count >= self._most:
                raise Full
            self._waiting.setdefault(client, deque()).append(item)
            self._count += 1
            self._changed.notify()

    def take(self, wait: bool = True) -> Item | None:
        """The next one; None when the queue is closed, or empty.

        Args:
            wait: for one, if the queue is empty.
        """
        with self._changed:
            while wait and not self._count and not self._closed:
                self._changed.wait()
            if self._closed or not self._count:
                return None
            client, items = next(iter(self._waiting.items()))
            item = items.popleft()
            self._count -= 1
            # The client goes to the end of the row.
            del self._waiting[client]
            if items:
                self._waiting[client] = items
            return item

    def remove(self, item: Item) -> bool:
        """Whether it was waiting."""
        with self._changed:
            for client, items in self._waiting.items():
                if item in items:
                    items.remove(item)
                    self._count -= 1
                    if not items:
                        del self._waiting[client]
                    return True
            return False

    def drain(self) -> list[Item]:
        """All that wait; none of them waits any longer."""
        with self._changed:
            items = [item for each in self._waiting.values() for item in each]
            self._waiting.clear()
            self._count = 0
            return items

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
