"""Track the state of a sweep's variants while they run, and report it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from llm_export.config.composed import Task
from llm_export.folding import columns_here, folded
from llm_export.sweep.finished import is_finished, results_of, stages_of
from llm_export.sweep.job import read_report
from llm_export.sweep.page import sweep_page
from llm_export.sweep.plan import Plan, Planned
from llm_export.sweep.state import (
    DONE,
    FAILED,
    REFUSED,
    RUNNING,
    WAITING,
    Failure,
    SweepCommand,
    SweepFolder,
)
from llm_export.sweep.table import document, screen

_POLL = 0.5
"""Seconds between looks at what jobs in other processes report."""
_OPEN = (WAITING, RUNNING)


class Board:
    """Rows, their files, and lines on stderr.

    Args:
        command: what sweep.json says of the command.
        together: variants share a machine while they run.
        total: how many variants there will be, if they are added one by one; None: as many as the
            plan has.
    """

    def __init__(
        self, plan: Plan, folder: SweepFolder, command: SweepCommand, together: bool, quiet: bool,
        total: int | None = None,
    ) -> None:  # fmt: skip
        self.variants = plan.variants
        self.rows = [variant.row for variant in plan.variants]
        self._folder, self._command = folder, command
        self._together, self._quiet = together, quiet
        self._lock = threading.Lock()
        self._total = total

    def text(self) -> str:
        return document(self._folder.path.name, self.rows, self._together)

    def screen(self) -> str:
        """The same for a terminal."""
        return screen(self.rows, self._together)

    def start(self) -> list[int]:
        """Note what is finished or refused; returns the numbers of the variants that are to run."""
        for variant in self.variants:
            bundle = Path(variant.row.bundle)
            if variant.composed and is_finished(bundle, variant.composed.recipe):
                self._take(variant, "bundle")
        waiting = [i for i, row in enumerate(self.rows) if row.state == WAITING]
        for number in waiting:
            self._report(self.variants[number]).unlink(missing_ok=True)
        counts = Counter(row.state for row in self.rows)
        self._say(
            f"{len(self.rows)} variants in {self._folder.path}: {counts[DONE]} finished before, "
            f"{counts[REFUSED]} refused, {len(waiting)} to run"
        )
        for row in self.rows:
            if row.error:
                _complain(row.name, row.error)
        self._write("running")
        return waiting

    def add(self, variant: Planned) -> int:
        """One more variant; its number. Its row is done if its bundle is finished, or refused."""
        self.variants.append(variant)
        self.rows.append(variant.row)
        if variant.composed and is_finished(Path(variant.row.bundle), variant.composed.recipe):
            self._take(variant, "bundle")
        elif variant.row.error:
            _complain(variant.row.name, variant.row.error)
        self._report(variant).unlink(missing_ok=True)
        self._write("running")
        return len(self.rows) - 1

    def end(self, error: Exception | None = None) -> None:
        """Mark variants that the launcher left unfinished as failed; ``error`` is its error."""
        self.collect()
        for variant in self.variants:
            if variant.row.state in _OPEN:
                self._fail(variant, _lost(error))
        failed = any(row.error for row in self.rows)
        self._write("failed" if failed else "done")

    def interrupt(self) -> None:
        """The sweep is to be resumed."""
        self.collect()
        for row in self.rows:
            row.state = WAITING if row.state == RUNNING else row.state
        self._write("interrupted")

    # -- jobs ------------------------------------------------------------------------------

    def announced(self, task: Task) -> Task:
        """``task`` for this process: it says what it begins and what came of it."""

        def run(number: int) -> None:
            row = self.rows[number]
            row.state = RUNNING
            self._write("running")
            self._say(f"\n{self._place(self.variants[number])} {row.name}")
            task(number)
            self.collect()

        return run

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """While jobs run elsewhere, look at their reports."""
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(_POLL):
                self.collect()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def collect(self) -> None:
        """Read new reports of jobs."""
        with self._lock:
            for variant in self.variants:
                row = variant.row
                report = read_report(self._report(variant)) if row.state in _OPEN else None
                if report is None or report[0] == row.state:
                    continue
                row.state, failure = report
                if row.state == DONE:
                    self._take(variant)
                elif failure is not None:
                    self._fail(variant, failure)
                self._write("running")

    def _take(self, variant: Planned, reused: str = "") -> None:
        row, bundle = variant.row, Path(variant.row.bundle)
        row.state, row.results = DONE, results_of(bundle)
        row.seconds, stages = stages_of(bundle)
        # A run reuses the first stages, up to one.
        row.reused = reused or (f"to {stages[-1]}" if stages else "")
        if not reused:
            size = f"{row.results.pte_mb:.1f} MB"
            mark = ", speeds disturbed" if row.results.disturbed else ""
            said = f"done, {row.seconds:.1f} s, {size}{mark}"
            self._say(f"{self._place(variant)} {row.name}: {said}")

    def _fail(self, variant: Planned, failure: Failure) -> None:
        variant.row.state, variant.row.error = FAILED, failure
        self._say(f"{self._place(variant)} {variant.row.name}: failed")
        _complain(variant.row.name, failure)

    def _place(self, variant: Planned) -> str:
        number = next(n for n, one in enumerate(self.variants, start=1) if one is variant)
        return f"[{number}/{self._total or len(self.variants)}]"

    def _report(self, variant: Planned) -> Path:
        return self._folder.jobs / f"{variant.row.name}.json"

    def _write(self, state: str) -> None:
        page = sweep_page(self._folder.path, self.rows, state=state, together=self._together)
        self._folder.write(self.rows, self._command, state, self.text(), page)

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(folded(text, columns_here(sys.stderr), 2), file=sys.stderr, flush=True)


def _complain(name: str, failure: Failure) -> None:
    print(f"error: {name}: {failure.text}", file=sys.stderr, flush=True)


def _lost(error: Exception | None) -> Failure:
    """The failure of a job whose process died, or whose launcher failed."""
    why = Failure.of(error).line if error else "its launcher ended"
    line = f"the job ended without a result: {why}"
    return Failure(line, line, 1, type(error).__name__ if error else "")
