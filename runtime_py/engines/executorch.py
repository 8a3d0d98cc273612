"""ExecuTorch's Python bindings, which give the logits of each step."""

from __future__ import annotations

from pathlib import Path

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import SEE, task_name
from runtime_py.engines.engine import Engine
from runtime_py.program import Program
from runtime_py.threads import set_threads


def open_program(bundle: Bundle, data_path: Path | None, threads: int | None) -> Engine:
    if threads is not None:
        set_threads(threads)
    file = bundle.file("program")
    assert file is not None
    facts = bundle.manifest["program"]
    if task_name(bundle) == SEE:
        from runtime_py.vision.program import open_seeing

        return open_seeing(bundle, data_path)
    if facts.get("whole_text"):
        from runtime_py.engines.whole_text import WholeText

        return WholeText(file, facts)
    return Program.of_manifest(file, facts, data_path)


OPENER = open_program
