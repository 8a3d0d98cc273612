"""Try hostile inputs one by one: each is held or refused within seconds, and nothing else."""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

from hostile.outcome_record import record

from llm_export.errors import LlmExportError

SECONDS = 20.0
"""Limit of one input; a shared machine stops a process for seconds."""
_LONGEST = 1600
_LINES = 12
_MOST = 2 << 30  # bytes, libraries that are imported on the way included


def _peak() -> int:
    """The largest memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


class Hung(BaseException):
    """An input took longer than its limit. No ``except Exception`` takes it for its own."""


@contextlib.contextmanager
def limit(seconds: float = SECONDS) -> Iterator[None]:
    """Context that raises Hung when its time is over."""

    def over(number: int, frame: FrameType | None) -> None:
        raise Hung(f"more than {seconds:g} s")

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Outcomes:
    """Counts of one group of inputs; ``finish`` records them and fails for what broke out."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.counts: dict[str, Counter[str]] = {}
        self.faults: list[str] = []
        self._peak = _peak()

    def attempt(self, kind: str, what: object, do: Callable[[], object]) -> None:
        """Call ``do`` once: it returns (held) or raises an error for users (refused)."""
        count = self.counts.setdefault(kind, Counter())
        count["tried"] += 1
        try:
            with limit():
                do()
            count["held"] += 1
        except LlmExportError as error:
            count["refused"] += 1
            said = str(error)
            if len(said) > _LONGEST or said.count("\n") > _LINES or not said.strip():
                self.faults.append(f"{kind}: {str(what)[:200]}: says {len(said)} characters")
        except (Exception, Hung) as error:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = (
                "" if where is None else f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
            )
            self.faults.append(
                f"{kind}: {str(what)[:200]}: {type(error).__name__}: {str(error)[:160]} at {place}"
            )

    def finish(self) -> None:
        """Record the counts.

        Raises:
            AssertionError: an input hung, filled the memory, or raised what is no error for users.
        """
        record(self.group, {kind: dict(count) for kind, count in self.counts.items()})
        grown = _peak() - self._peak
        assert grown < _MOST, f"the inputs took {grown >> 20} MiB"
        assert not self.faults, "\n".join([f"{len(self.faults)} faults", *self.faults[:40]])
