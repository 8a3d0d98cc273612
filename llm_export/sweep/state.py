"""sweep.json, sweep.md and report.html: the state of each variant. All are rewritten after each
change."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from llm_export.bundle.roles import ROLES
from llm_export.errors import InputError, LlmExportError, MissingDependencyError
from llm_export.files import write_json, write_text
from llm_export.json_data import INLINE, to_json
from llm_export.metrics.value import Value
from llm_export.output.place import Named, folder_to_write
from llm_export.pipeline.record import utc_now

FORMAT = 1
STATE, TABLE, PAGE = "sweep.json", "sweep.md", ROLES["page"]
WAITING, RUNNING, DONE, FAILED, REFUSED = "waiting", "running", "done", "failed", "refused"


@dataclass(frozen=True)
class Failure:
    """What went wrong: one line for the table, all of it, and the exit code."""

    line: str
    text: str
    exit_code: int
    kind: str

    @staticmethod
    def of(error: BaseException) -> Failure:
        kind = type(error).__name__
        if isinstance(error, LlmExportError):
            return Failure(_line(error.what), str(error), error.exit_code, kind)
        detail = (str(error).strip().splitlines() or [""])[0]
        line = f"unexpected {kind}: {detail}"
        return Failure(line, line, 1, kind)


def _line(what: str) -> str:
    """One line of several: a list of problems is told by its first."""
    head, *rest = what.splitlines()
    return f"{head} {rest[0].strip()}" if head.endswith(":") and rest else head


@dataclass(frozen=True)
class SweepCommand:
    """What sweep.json says of the command."""

    recipe: str | None
    overrides: tuple[str, ...]
    launcher: str


@dataclass(frozen=True)
class Evaluated:
    """A value of an evaluation task, with what a table must know of it."""

    number: float
    shown: Value


@dataclass(frozen=True)
class Results:
    """What a bundle's evidence says; None for what was not measured.

    Attributes:
        pte_mb: of the program, in MB.
        prefill, decode: tokens/s.
        verdict: its word.
        first_token: time to first token, in seconds.
        memory: peak of the process that ran the program, in bytes.
        disturbed: whether other processes made speeds doubtful.
        evaluated: "task.name" -> value of the program and how it is shown.
        values: name -> value of each metric, of the program against the float32 model.
    """

    pte_mb: float
    prefill: float | None
    decode: float | None
    verdict: str | None = None
    first_token: float | None = None
    memory: int | None = None
    disturbed: bool = False
    evaluated: Mapping[str, Evaluated] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict, metadata=INLINE)


@dataclass
class Row:
    """One variant.

    Attributes:
        swept: key -> its value in this variant.
        bundle: its folder, there once the state is done.
        seconds: that the stages of the bundle took when it was made.
        reused: what was not made anew: the bundle, or some of its stages.
        results: None until there is a bundle.
    """

    name: str
    overrides: list[str]
    swept: dict[str, str]
    bundle: str
    state: str = WAITING
    seconds: float | None = None
    reused: str = ""
    error: Failure | None = None
    results: Results | None = None

    def as_dict(self) -> dict[str, object]:
        """As sweep.json has it."""
        return {**asdict(self), "results": to_json(self.results) if self.results else {}}


def _require_ours(folder: Path) -> None:
    """Variants have folders of their own, which they look after; these files are replaced."""
    state = folder / STATE
    taken = [folder / TABLE, folder / PAGE]
    try:
        body = json.loads(state.read_text(encoding="utf-8"))
        if isinstance(body, dict) and {"format", "state", "variants"} <= body.keys():
            return
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError):
        taken = [state]
    else:
        taken = [state]
    for other in filter(os.path.lexists, taken):
        raise InputError(
            f"the sweep's folder holds a {other.name} that is not a sweep's",
            where=f"out={folder}", fix="choose another out=FOLDER, or move the file away",
        )  # fmt: skip


class SweepFolder:
    """The folder of a sweep, locked against a second process.

    Raises:
        InputError: the folder cannot be written.
        MissingDependencyError: another process works on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = folder_to_write(path, Named("the sweep's folder", "out="), renamed=False)
        _require_ours(self.path)
        self.jobs = self.path / ".jobs"
        """Reports and logs of jobs, and what a launcher writes."""
        self._lock: IO[str] | None = None
        try:
            self.jobs.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise InputError(
                f"the sweep's folder cannot be written: {error.strerror}",
                where=f"out={self.path}",
                fix="out=FOLDER that can be written",
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise MissingDependencyError(
                "another sweep is working on this folder",
                where=f"out={self.path}",
                fix="wait for it, or choose another out=FOLDER",
            ) from None
        self._lock = lock

    def write(
        self, rows: list[Row], command: SweepCommand, state: str, table: str, page: str
    ) -> None:
        body = {
            "format": FORMAT,
            "state": state,
            "written": utc_now(),
            **to_json(command),
            "variants": [row.as_dict() for row in rows],
        }
        write_json(self.path / STATE, body)
        write_text(self.path / TABLE, table)
        write_text(self.path / PAGE, page)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
