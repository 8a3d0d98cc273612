"""Measure artifacts in turns, each turn in a process of its own, so that what disturbs the machine
disturbs all of them alike."""

from __future__ import annotations

import inspect
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_export.runtimes import RUNTIMES
from llm_export.runtimes import child as child_script
from llm_export.runtimes.artifact import Artifact
from runtime_py.benchmark.plan import Case

Progress = Callable[[str], object]


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
    until: float = float("inf"),
    progress: Progress = lambda what: None,
) -> list[Turns]:
    """One that fails takes no further turn; the others go on.

    Args:
        until: begin no further round after this time of ``time.perf_counter``.
    """
    every = [Turns(artifact) for artifact in artifacts]
    for number in range(rounds):
        for one in every:
            if not one.skipped:
                progress(f"round {number + 1} of {rounds}: {one.artifact.label}")
                _take(one, request)
        if time.perf_counter() > until:
            break
    return every


def _take(one: Turns, request: Request) -> None:
    found = _measured(one.artifact, request)
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


def _measured(artifact: Artifact, request: Request) -> dict[str, Any]:
    kind = RUNTIMES.get(artifact.runtime)
    asked = {
        "file": inspect.getfile(kind), "path": str(artifact.path), "threads": request.threads,
        "context": max(case.tokens for case in request.cases) + 1,
        "cases": [list(case) for case in request.cases], "warmup": request.warmup,
        "repetitions": request.repetitions,
    }  # fmt: skip
    command = [artifact.python, inspect.getfile(child_script), json.dumps(asked)]
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
