"""Progress output on the console; all other output of stages goes to run.log."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar

from llm_export.folding import folded

_HANG = 2
"""Columns by which the rest of a folded line is indented."""
_ROOM = 30
"""Columns that a deeper indentation must leave."""
HEARTBEAT = 30.0
"""Seconds between signs of life where the output is no terminal, or one that draws no bar."""


Progress = Callable[[str, int, int], None]
"""(stage, done, total)."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence: a run does not fail because nobody reads its progress."""
        self.quiet = True


class Reporter:
    """Progress of a run on stderr: a live line on a terminal, plain lines elsewhere.

    Args:
        total: stages.
        hidden: names of stages that have nothing to do, which are neither counted nor shown.
        quiet: print nothing.
        progress: called with (stage, done, total), in units of the stage's own work: (NAME, 0, 1)
            when a stage begins, then as far as the stage knows, and with ``done`` equal to
            ``total`` when it ends. A reused stage only ends. What it prints goes where the
            caller's output goes; what it raises fails the stage.
    """

    def __init__(
        self,
        total: int,
        quiet: bool = False,
        progress: Progress | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        # A duplicate, because file descriptor 2 is sent to the log while a stage runs.
        self._stream = os.fdopen(os.dup(_stderr_descriptor()), "w", buffering=1)
        self.console = _Console(file=self._stream, quiet=quiet, highlight=False)
        self._total, self._hidden = total - len(hidden), hidden
        self._index = 0
        self._bar: tuple[Bar, TaskID] | None = None
        self._label = ""
        self._progress, self._name, self._units = progress, "", 1
        self._said = ("", 0, 0)
        self.raised: Exception | None = None
        """What ``progress`` raised."""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show that a stage runs, and for how long."""
        self._begin(name)
        self._call(0)
        if name in self._hidden:
            yield
            return
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            columns = (
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24),
                TimeElapsedColumn(),
            )  # fmt: skip
            # Rich would take over sys.stdout and sys.stderr, and print past the log what libraries
            # say there.
            with Bar(
                *columns, console=self.console, transient=True,
                redirect_stdout=False, redirect_stderr=False,
            ) as bar:  # fmt: skip
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
        if self._name not in self._hidden:
            begin = f"{self._label:<16} {seconds:7.1f} s  {peak_bytes / 1e9:5.2f} GB  "
            self.line(f"{begin}{summary}".rstrip(), hang=len(begin))
        self._call(self._units)

    def reused(self, name: str, made: str) -> None:
        """A stage that is not run, because the cache has what it makes."""
        self._begin(name)
        if name not in self._hidden:
            self.line(f"{self._label:<16} reused, made {made}")
        self._call(1)

    def step(self, done: int, total: int) -> None:
        """Show progress inside a stage, where it is known."""
        if self._bar is not None:
            # Never quite the whole: rich would stop the clock, and the stage has not ended yet.
            self._bar[0].update(self._bar[1], completed=done, total=total * 1.001)
        self._units = total
        self._call(done)

    def line(self, text: str, hang: int = _HANG) -> None:
        """Print a line, which is folded to fit a terminal.

        Args:
            hang: columns by which what is folded is indented, where it leaves room.
        """
        if self.console.is_terminal:
            columns = self.console.width
            text = folded(text, columns, hang if columns - hang >= _ROOM else _HANG)
        self.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._stream.close()

    def _begin(self, name: str) -> None:
        self._name, self._units = name, 1
        if name not in self._hidden:
            self._index += 1
            self._label = f"[{self._index}/{self._total}] {name}"

    def _call(self, done: int) -> None:
        now = (self._name, done, self._units)
        if self._progress is not None and now != self._said:
            self._said = now
            try:
                with original_output():
                    self._progress(*now)
            except Exception as error:
                self.raised = error
                raise

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


_saved: list[tuple[int, int]] = []
"""Descriptors of the output outside each ``output_to`` that is open, the innermost last."""


@contextlib.contextmanager
def original_output() -> Iterator[None]:
    """Within ``output_to``: stdout and stderr as they were outside it."""
    if not _saved:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.dup(1), os.dup(2)
    _restore(_saved[-1])
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _restore(log)
        for descriptor in log:
            os.close(descriptor)


def _restore(saved: tuple[int, int]) -> None:
    for descriptor, number in zip(saved, (1, 2), strict=True):
        os.dup2(descriptor, number)


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Append stdout and stderr of the process, native code included, to ``log``. A log that cannot
    be written, because somebody has removed its folder, ends no run: the output is dropped."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        _saved.append(saved)
        yield
    finally:
        _saved[:] = [other for other in _saved if other is not saved]
        # On a full disk the log takes nothing more; the descriptors must come back all the same.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        _restore(saved)
        for descriptor in (*saved, sink):
            os.close(descriptor)
