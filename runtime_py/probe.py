"""Try a bundle: load it, generate one token, render its chat template.

``python -m runtime_py.probe BUNDLE`` prints a JSON list when an attempt begins, [what], and when it
ends, [what, good, found]. ExecuTorch can end the process for a program that is damaged in a way
that its hash does not show, so run it in a process of its own: see ``probed``.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import reason

_SECONDS = 900


class Attempt(NamedTuple):
    """What was tried, whether it succeeded, and what was found."""

    what: str
    good: bool
    found: str


def probed(bundle: Path, *, seconds: float = _SECONDS) -> list[Attempt]:
    """What a new process finds, which may die of it.

    Args:
        seconds: most time that it may take.
    """
    command = [sys.executable, "-m", "runtime_py.probe", str(bundle)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds)
        out, end = done.stdout, _end_of(done.returncode)
    except subprocess.TimeoutExpired as error:
        out, end = error.stdout or b"", f"takes more than {seconds:g} s"
    lines = [json.loads(line) for line in out.decode().splitlines() if line.startswith("[")]
    attempts = [Attempt(*line) for line in lines if len(line) == 3]
    if end:
        begun = lines[-1][0] if lines and len(lines[-1]) == 1 else "load"
        attempts.append(Attempt(begun, False, end))
    return attempts


def _end_of(code: int) -> str:
    if code >= 0:
        return "" if code == 0 else f"ends the process with {code}"
    try:
        return f"ends the process with {signal.Signals(-code).name}"
    except ValueError:
        return f"ends the process with signal {-code}"


def attempts(bundle: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """(what is tried, a function that tries it and says what it found), in order. The hashes are
    not compared.
    """
    from runtime_py.bundle import Bundle
    from runtime_py.llm import LLM

    made: list[LLM] = []

    def load(adapter: str | None) -> str:
        made[:] = [LLM.load(bundle, adapter=adapter, verify_hashes=False)]
        return f"{made[0].program.context_length} tokens of context"

    def generate() -> str:
        made[0].generate("Hello", max_new_tokens=1)
        return "one token"

    def render() -> str:
        llm = made[0]
        if llm.template is None:
            return "none: a base model"
        example = llm.bundle.manifest.get("chat", {}).get("example")
        if example is None:
            return "is valid"
        return f"{llm.count_tokens(example['messages'])} tokens"

    names = [None, *Bundle.open(bundle).manifest.get("adapters", {})]
    for name in names:
        of = "" if name is None else f" with adapter {name}"
        yield f"load{of}", lambda name=name: load(name)  # type: ignore[misc]
        yield f"generate{of}", generate
    yield "chat template", render


def main(bundle: str) -> int:
    tries = attempts(Path(bundle))
    while True:
        try:
            what, attempt = next(tries, ("", None))
        except BundleRuntimeError as error:
            return _say("load", False, error.what)
        if attempt is None:
            return 0
        _say(what)
        try:
            found = attempt()
        except BundleRuntimeError as error:
            return _say(what, False, error.what)
        except Exception as error:
            return _say(what, False, f"{type(error).__name__}: {reason(error)}")
        _say(what, True, found)


def _say(*line: object) -> int:
    print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
