"""One user at a time for something that has a state."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtime_py.errors import BundleRuntimeError, Cancelled

_LOOK = 0.05
"""Seconds between looks whether somebody still waits."""


class Exclusive:
    """A lock as a context manager. Other threads wait; the thread that holds it gets an error,
    because it would wait for itself.

    Raises:
        BundleRuntimeError (on entering): this thread holds the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> None:
        self._check()
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._owner = None
        self._lock.release()

    @contextmanager
    def unless(self, stopped: threading.Event) -> Iterator[None]:
        """The lock, for which nobody waits any longer once ``stopped`` is set.

        Raises:
            BundleRuntimeError: this thread holds the lock.
            Cancelled: ``stopped`` was set first.
        """
        self._check()
        while not self._lock.acquire(timeout=_LOOK):
            if stopped.is_set():
                raise Cancelled
        self._owner = threading.get_ident()
        try:
            yield
        finally:
            self.__exit__()

    def _check(self) -> None:
        if self._owner == threading.get_ident():
            raise BundleRuntimeError(
                "an answer of this LLM is still being generated in this thread",
                fix="finish or close the stream first, or load the bundle again",
            )

    def adopt(self) -> None:
        """Make this thread the holder: a stream may be read on by another thread."""
        self._owner = threading.get_ident()
