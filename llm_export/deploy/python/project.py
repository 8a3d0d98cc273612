"""The files of the folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import runtime_py
from llm_export.deploy.base import Project, Settings
from llm_export.deploy.bundle_copy import EVIDENCE, copy_of
from llm_export.deploy.markdown import cell
from llm_export.deploy.python.requirements import locked, requirements
from llm_export.deploy.python.verbs import VERBS
from llm_export.deploy.templates import rendered
from llm_export.targets.python_runner import runtime_files
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import task_name


def make(bundles: Sequence[Bundle], settings: Settings) -> Project:
    """
    Raises:
        MissingDependencyError: a package that the lock names is not installed here.
    """
    [bundle] = bundles
    taken = copy_of(bundle, without=EVIDENCE)
    versions = locked()
    variables: dict[str, object] = {
        "name": settings.name, "model": bundle.manifest["name"],
        "executorch": bundle.manifest["requires"]["executorch"],
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }  # fmt: skip
    task, folder, script = task_name(bundle), "template", "chat.py"
    if task in VERBS:
        folder, script = "template_verb", f"{task}.py {VERBS[task].example}"
        variables |= {"task": task, "verb": VERBS[task]}
    files = rendered(__package__, variables, folder=folder, filters={"cell": cell})
    return Project(
        {
            **files,
            **taken.files("bundle/"),
            "requirements.txt": requirements(versions),
            **_licence(),
        },
        {**{f"bundle/{name}": file for name, file in taken.copies.items()}, **_runtime()},
        executable=frozenset({script.split()[0]}),
        steps=(
            "python3 -m venv .venv",
            ".venv/bin/pip install --no-deps -r requirements.txt",
            f".venv/bin/python {script}",
        ),
        notes=(_note(bundle, versions["executorch"]),),
    )


def _note(bundle: Bundle, installed: str) -> str:
    made = bundle.manifest["requires"]["executorch"]
    if made == installed:
        return f"requirements.txt pins ExecuTorch {made}, with which the program was made"
    return (
        f"the program was made with ExecuTorch {made}, and requirements.txt pins {installed}, "
        "which is installed here"
    )


def _licence() -> dict[str, str | bytes]:
    """The runtime's licence, which its copies must keep: of the installed package, or of the
    sources that it is run from."""
    text = distribution("llm_export").read_text("licenses/LICENSE")
    sources = Path(runtime_py.__file__).parents[1] / "LICENSE"
    if not text and sources.is_file():
        text = sources.read_text(encoding="utf-8")
    return {"runtime_py/LICENSE": text} if text else {}


def _runtime() -> dict[str, Path]:
    return {f"runtime_py/{name}": file for name, file in runtime_files().items()}
