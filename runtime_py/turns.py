"""What happens between two steps of a long prompt."""

from __future__ import annotations

import threading
import time

from runtime_py.errors import Cancelled

_PAUSE = 2e-3
"""Seconds. ExecuTorch holds Python's lock during a step. Another thread that waits for the lock
gives it back at its next system call, and then waits for a whole step again, unless the lock is
free for as long as it takes to answer a small request.
"""


def next_step(stopped: threading.Event | None, *, first: bool) -> None:
    """Call it before each step: other threads get their turn.

    Raises:
        Cancelled: ``stopped`` is set.
    """
    if not first and threading.active_count() > 1:
        time.sleep(_PAUSE)
    if stopped is not None and stopped.is_set():
        raise Cancelled
