"""One user at a time for something that has a state."""

from __future__ import annotations

import threading

from runtime_py.errors import BundleRuntimeError


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
        if self._owner == threading.get_ident():
            raise BundleRuntimeError(
                "an answer of this LLM is still being generated in this thread",
                fix="finish or close the stream first, or load the bundle again",
            )
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._owner = None
        self._lock.release()

    def adopt(self) -> None:
        """Make this thread the holder: a stream may be read on by another thread."""
        self._owner = threading.get_ident()
