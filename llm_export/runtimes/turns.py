"""Measure artifacts in turns, each turn in a process of its own, so that what disturbs the machine
disturbs all of them alike."""

from __future__ import annotations

import inspect
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_export.runtimes import RUNTIMES
from llm_export.runtimes import child as child_script
from llm_export.runtimes.artifact import Artifact
from llm_export.runtimes.kept import KeptTurns
from runtime_py.benchmark.plan import Case
from runtime_py.conditions import OtherLoad

Progress = Callable[[str], object]
_TOLD = 0.1
"""CPUs that other processes keep busy, from which on a turn tells it."""


@dataclass(frozen=True)
class Request:
    """What each turn measures.

    Attributes:
        warmup: rounds that are not counted; None: until two agree.
        repetitions: of each case; the median counts.
    """

    cases: tuple[Case, ...]
    threads: int
    warmup: int | None
    repetitions: int

    def as_json(self) -> dict[str, Any]:
        """As the process of a turn takes it."""
        return {
            "threads": self.threads, "context": max(case.tokens for case in self.cases) + 1,
            "cases": [list(case) for case in self.cases], "warmup": self.warmup,
            "repetitions": self.repetitions,
        }  # fmt: skip


@dataclass
class Turns:
    """The turns of an artifact.

    Attributes:
        found: what the child has printed, by round.
        skipped: why there is none; '' if there is.
        fix: a line that installs what is missing.
    """

    artifact: Artifact
    found: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""
    fix: str = ""


def take_turns(
    artifacts: Sequence[Artifact],
    request: Request,
    *,
    rounds: int,
    load: OtherLoad,
    kept: KeptTurns,
    until: float = float("inf"),
    progress: Progress = lambda what: None,
    finished: Progress = lambda what: None,
) -> list[Turns]:
    """One that fails takes no further turn; the others go on.

    Args:
        load: what others do meanwhile; it has begun.
        kept: turns that are there already, and where the new ones are kept.
        until: begin no further round after this time of ``time.perf_counter``.
        progress, finished: called with what a turn is when it begins, and with what it found.
    """
    every = [Turns(artifact) for artifact in artifacts]
    for number in range(1, rounds + 1):
        for one in every:
            if not one.skipped:
                _take(one, request, number, f"round {number} of {rounds}: {one.artifact.label}",
                      load, kept, progress, finished)  # fmt: skip
        if time.perf_counter() > until:
            break
    return every


def _take(
    one: Turns,
    request: Request,
    number: int,
    what: str,
    load: OtherLoad,
    kept: KeptTurns,
    progress: Progress,
    finished: Progress,
) -> None:
    asked = request.as_json()
    found = kept.take(one.artifact, asked, number)
    if found is None:
        progress(what)
        before = load.so_far()
        found = _measured(one.artifact, asked)
        after = load.so_far()
        others = (after[0] - before[0], after[1] - before[1])
        busy = others[0] / others[1]
        mark = f", others on {busy:.1f} CPUs" if busy >= _TOLD else ""
        finished(f"{what}: {_told(found)}; {others[1]:.0f} s{mark}")
        if "tests" in found:
            kept.add(one.artifact, asked, number, found, others)
    else:
        finished(f"{what}: {_told(found)}; kept")
    if "tests" in found:
        one.found.append(found)
        return
    one.found.clear()
    if missing := found.get("missing"):
        package = RUNTIMES.get(one.artifact.runtime).package
        one.skipped = f"{missing} is not installed there"
        one.fix = f"{one.artifact.python} -m pip install {package}"
    else:
        one.skipped = str(found["error"])


def _told(found: Mapping[str, Any]) -> str:
    """A turn in a few words; of several combinations the first."""
    if "tests" not in found:
        return f"{found['missing']} is missing" if "missing" in found else str(found["error"])
    test, said = found["tests"][0], []
    for name in ("prefill", "decode"):
        speed = test[f"{name}_tokens_per_second"]
        said.append(f"{name} –" if speed is None else f"{name} {speed:.1f}")
    return f"{', '.join(said)} tokens/s"


def _measured(artifact: Artifact, asked: Mapping[str, Any]) -> dict[str, Any]:
    kind = RUNTIMES.get(artifact.runtime)
    request = {"file": inspect.getfile(kind), "path": str(artifact.path), **asked}
    command = [artifact.python, inspect.getfile(child_script), json.dumps(request)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        return {"error": f"{artifact.python} does not start: {error.strerror}"}
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        found = json.loads(last)
    except ValueError:
        found = None
    if isinstance(found, dict) and found.keys() & {"tests", "missing", "error"}:
        return found
    said = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return {"error": f"its process ended with {done.returncode}: {said}"}
