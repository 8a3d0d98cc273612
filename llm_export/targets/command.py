"""Run a program of this machine that works on a device, with a time limit and a clean end."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PATIENCE = 8.0
"""Seconds for a command to end after its input was closed, and again after SIGTERM."""


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        code: exit code; of a command that was stopped, the negated number of the signal.
        out, err: all that it printed.
    """

    code: int
    out: str
    err: str
    timed_out: bool = False

    @property
    def reason(self) -> str:
        """The last line of its messages, or its exit code."""
        return last_line(self.err or self.out) or f"exit code {self.code}"


def last_line(said: str) -> str:
    """The last line that is not blank; '' if there is none."""
    return said.rstrip().rpartition("\n")[2].strip()


def run_command(
    argv: Sequence[str],
    *,
    timeout: float | None = None,
    stdin: Path | None = None,
    hold_stdin: bool = False,
) -> Finished:
    """Run a command in a process group of its own: Ctrl-C reaches this process only, which then
    ends the command in order.

    Args:
        timeout: seconds; None is no limit.
        stdin: file for standard input; None is an empty one.
        hold_stdin: keep standard input open, and close it to end the command early.

    Raises:
        OSError: the command cannot be started.
    """
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(stdin.open("rb")) if stdin is not None else subprocess.DEVNULL
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if hold_stdin else source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        out, err = _Reader(process.stdout), _Reader(process.stderr)
        timed_out = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _end(process)
            out.close()
            err.close()
    return Finished(process.returncode, out.text, err.text, timed_out)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Reader:
    """Reads a stream in a thread."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream = stream
        self._blocks: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed while a grandchild holds it
            self._blocks.extend(self._stream)

    def close(self) -> None:
        # A connection that persists in the background may keep the stream open.
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._stream.close()

    @property
    def text(self) -> str:
        return b"".join(self._blocks).decode("utf-8", "replace")
