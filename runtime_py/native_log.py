"""ExecuTorch's C++ code writes to the process's stderr; keep it from the user, and for errors."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


class CapturedLog:
    """What was written while the capture was on."""

    text = ""


@contextlib.contextmanager
def captured_native_log() -> Iterator[CapturedLog]:
    """Send file descriptor 2 to a temporary file for the duration.

    Python's own writers to stderr are flushed first; whatever other threads write
    meanwhile is captured too, so keep the body short.
    """
    log = CapturedLog()
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
