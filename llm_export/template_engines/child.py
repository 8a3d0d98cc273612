"""Run an engine in a process of its own, and read what it renders line by line."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from llm_export.template_engines.base import MAX_TEXT, NOW, SECONDS, Rendering, one_line

ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
"""All that the process sees. A language other than English shows what depends on the device's."""


def rendered(
    command: Sequence[str],
    sources: Sequence[str],
    cases: Sequence[Mapping[str, Any]],
    **more: Any,
) -> list[list[Rendering]]:
    """The renderings of a program that takes one JSON object on its standard input and writes a
    line ``[source, case, text or null, refusal]`` for each. What it has not written when its time
    is over, or when it ends, is a refusal.

    Args:
        more: further keys of the object.
    """
    asked = {
        "sources": list(sources), "cases": list(cases), "max_text": MAX_TEXT, "seconds": SECONDS,
        "now": NOW.isoformat(), **more,
    }  # fmt: skip
    out, why = _output(command, json.dumps(asked))
    found = {(i, j): Rendering(text, one_line(refusal)) for i, j, text, refusal in _lines(out)}
    lost = Rendering(None, why)
    return [
        [found.get((i, j), lost) for j in range(len(cases))] for i in range(len(sources))
    ]  # fmt: skip


def _output(command: Sequence[str], asked: str) -> tuple[bytes, str]:
    """(what the process wrote, why it wrote no more)."""
    try:
        with tempfile.TemporaryDirectory(prefix="llm_export-") as empty:
            done = subprocess.run(
                command, input=asked.encode(), capture_output=True, timeout=SECONDS, cwd=empty,
                env={**ENVIRONMENT, "PATH": os.defpath}, check=False,
            )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return late.stdout or b"", f"it takes more than {SECONDS:g} s"
    except OSError as error:
        return b"", one_line(f"the engine does not start: {error}")
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return done.stdout, one_line(f"the engine ended: {said[-1] if said else done.returncode}")


def _lines(out: bytes) -> list[Any]:
    """What was written whole."""
    found = []
    for line in out.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
