"""What a person sees while stages run; everything else goes to run.log."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

HEARTBEAT = 30.0
"""Seconds between signs of life where the output is not a terminal."""


class Reporter:
    """Progress of a run on stderr: a live line on a terminal, plain lines elsewhere."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        # A duplicate, because file descriptor 2 is sent to the log while a stage runs.
        self._stream = os.fdopen(os.dup(_stderr_descriptor()), "w", buffering=1)
        self.console = Console(file=self._stream, quiet=quiet, highlight=False)
        self._total = total
        self._index = 0
        self._bar: tuple[Progress, TaskID] | None = None
        self._label = ""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show that a stage runs, and for how long."""
        self._index += 1
        self._label = f"[{self._index}/{self._total}] {name}"
        if self.console.is_terminal:
            columns = (
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24),
                TimeElapsedColumn(),
            )  # fmt: skip
            with Progress(*columns, console=self.console, transient=True) as bar:
                self._bar = (bar, bar.add_task(self._escaped, total=None))
                yield
                self._bar = None
            return
        stop = threading.Event()
        beat = threading.Thread(target=self._heartbeat, args=(stop,), daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()

    def done(self, seconds: float, peak_bytes: int, summary: str = "") -> None:
        tail = f"  {summary}" if summary else ""
        self.line(f"{self._label:<16} {seconds:7.1f} s  {peak_bytes / 1e9:5.2f} GB{tail}")

    def reused(self, name: str, made: str) -> None:
        """A stage that is not run, because the cache has what it makes."""
        self._index += 1
        self.line(f"{f'[{self._index}/{self._total}] {name}':<16} reused, made {made}")

    def step(self, done: int, total: int) -> None:
        """Progress inside a stage, where it is known."""
        if self._bar is not None:
            self._bar[0].update(self._bar[1], completed=done, total=total)

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._stream.close()

    @property
    def _escaped(self) -> str:
        return self._label.replace("[", "\\[")

    def _heartbeat(self, stop: threading.Event) -> None:
        begin = time.monotonic()
        while not stop.wait(HEARTBEAT):
            self.line(f"{self._label} ... {time.monotonic() - begin:.0f} s")


def _stderr_descriptor() -> int:
    """2 where Python's stderr is no file, as in notebooks."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return 2


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Append stdout and stderr of the process, native code included, to ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        # On a full disk the log takes nothing more; the descriptors must come back all the same.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, sink):
            os.close(descriptor)
