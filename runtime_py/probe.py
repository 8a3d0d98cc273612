"""Try a bundle: load it, generate one token, render its chat template.

Of other tasks, see ``probe_tasks``.

ExecuTorch can end the process for a program that is damaged in a way that its hash does not show,
so this is done in a process of its own: see ``probed``. ``python -m runtime_py.probe BUNDLE``
prints a JSON list as each attempt begins, [what], and in the end one for each, [what, good, found].
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
        begun = [line[0] for line in lines if len(line) == 1]
        attempts.append(Attempt(begun[-1] if begun else "load", False, end))
    return attempts


def _end_of(code: int) -> str:
    if code >= 0:
        return "" if code == 0 else f"ends the process with {code}"
    try:
        return f"ends the process with {signal.Signals(-code).name}"
    except ValueError:
        return f"ends the process with signal {-code}"


def attempted(bundle: Path, begun: Callable[[str], object] = lambda what: None) -> list[Attempt]:
    """What this process finds, up to the first failure. The hashes are not compared.

    Args:
        begun: called with what is tried next.
    """
    made: list[Attempt] = []
    what = "load"
    try:
        for what, attempt in _attempts(bundle):
            begun(what)
            made.append(Attempt(what, True, attempt()))
    except BundleRuntimeError as error:
        made.append(Attempt(what, False, error.what))
    except Exception as error:
        made.append(Attempt(what, False, f"{type(error).__name__}: {reason(error)}"))
    return made


def _attempts(path: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    from runtime_py.bundle import Bundle
    from runtime_py.bundle_task import GENERATE, SEE, task_name
    from runtime_py.probe_tasks import task_attempts

    bundle = Bundle.open(path)
    if task_name(bundle) in (GENERATE, SEE):
        yield from _language_model(path)
    else:
        yield from task_attempts(bundle)


def _language_model(bundle: Path) -> Iterator[tuple[str, Callable[[], str]]]:
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

    for name in (None, *Bundle.open(bundle).manifest.get("adapters", {})):
        of = "" if name is None else f" with adapter {name}"
        yield f"load{of}", lambda name=name: load(name)  # type: ignore[misc]
        yield f"generate{of}", generate
    yield "chat template", render


def _say(*line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    for each in attempted(Path(sys.argv[1]), _say):
        _say(*each)
