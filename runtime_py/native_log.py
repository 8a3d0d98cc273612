"""Capture what ExecuTorch's C++ code writes to stderr: hidden from users, but used in errors."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator


class CapturedLog:
    """The captured text."""

    text = ""


@contextlib.contextmanager
def captured_native_log() -> Iterator[CapturedLog]:
    """Redirect file descriptor 2 to a temporary file while the context is open.

    Python's own stderr is flushed first. Output of other threads is captured too, so keep the body
    short.
    """
    log = CapturedLog()
    with _ONE_AT_A_TIME:
        yield from _captured(log)


_ONE_AT_A_TIME = threading.RLock()
"""Two threads would each take the other's file for stderr."""


def _captured(log: CapturedLog) -> Iterator[CapturedLog]:
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield log
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            log.text = sink.read().decode("utf-8", "replace")
