"""Run a program of this machine that works on a device: streamed output, time limit, clean end."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

OnLine = Callable[[str], None]

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
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def run_command(
    argv: Sequence[str],
    *,
    timeout: float | None = None,
    on_line: OnLine | None = None,
    stdin: Path | None = None,
    hold_stdin: bool = False,
) -> Finished:
    """Run a command in a process group of its own: Ctrl-C reaches this process only, which then
    ends the command in order.

    Args:
        timeout: seconds; None is no limit.
        on_line: called with each line of either stream, in the thread that reads it.
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
        out, err = _Reader(process.stdout, on_line), _Reader(process.stderr, on_line)
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

    def __init__(self, stream: IO[bytes] | None, on_line: OnLine | None) -> None:
        assert stream is not None
        self._stream, self._on_line = stream, on_line
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed while a grandchild holds it
            for data in self._stream:
                line = data.decode("utf-8", "replace")
                self._lines.append(line)
                if self._on_line is not None:
                    self._on_line(line.rstrip("\r\n"))

    def close(self) -> None:
        # A connection that persists in the background may keep the stream open.
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._stream.close()

    @property
    def text(self) -> str:
        return "".join(self._lines)
