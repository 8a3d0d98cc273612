"""What is measured: a bundle, or a file or folder of another runtime."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_export.errors import RecipeError, bundle_errors
from llm_export.runtimes import RUNTIMES
from runtime_py.packed import is_packed
from runtime_py.program_header import check_program_header

FORM = "[[LABEL:]RUNTIME=]PATH[@PYTHON]"


@dataclass(frozen=True)
class Artifact:
    """
    Attributes:
        label: unique among those that are measured together.
        runtime: a name of ``RUNTIMES``.
        python: interpreter of the environment that has the runtime's package.
    """

    label: str
    runtime: str
    path: Path
    python: str = sys.executable

    @property
    def bytes(self) -> int:
        """Of the file, or of all files of the folder."""
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


def artifact(text: str) -> Artifact:
    """Read ``FORM``. Without a runtime, the path tells it.

    Raises:
        RecipeError: the path or the interpreter is missing, there is no such runtime, or the path
            is nothing that a runtime takes.
    """
    before, equals, rest = text.partition("=")
    known = equals and "/" not in before
    label, _, name = before.rpartition(":") if known else ("", "", "")
    place, _, python = (rest if known else text).partition("@")
    path = Path(place).expanduser()
    if not path.exists():
        raise RecipeError("there is no such file or folder", where=str(path), fix=FORM)
    if name:
        RUNTIMES.get(name)
    else:
        name = _runtime_of(path)
    return Artifact(
        label or path.name or str(path), name, path.resolve(), _interpreter(python, text)
    )


def require_whole(found: Sequence[Artifact]) -> None:
    """Raise BundleError for a program that is cut off, which a runtime answers with a number."""
    for path in {each.path for each in found}:
        if path.suffix == ".pte" and path.is_file() and not is_packed(path):
            with bundle_errors():
                check_program_header(path)


def artifacts(texts: Sequence[str]) -> list[Artifact]:
    """As ``artifact``, with labels that are unique: the path where names are the same."""
    found = [artifact(text) for text in texts]
    for tell in (lambda a: str(a.path), lambda a: f"{a.runtime}:{a.path}",
                 lambda a: f"{a.runtime}:{a.path}@{a.python}"):  # fmt: skip
        labels = [each.label for each in found]
        found = [
            replace(each, label=tell(each)) if labels.count(each.label) > 1 else each
            for each in found
        ]
    return [
        replace(each, label=f"{each.label} ({at + 1})")
        if [a.label for a in found].count(each.label) > 1
        else each
        for at, each in enumerate(found)
    ]


def _runtime_of(path: Path) -> str:
    for name in RUNTIMES.in_order():
        if RUNTIMES.fault(name) is None and RUNTIMES.get(name).accepts(path):
            return name
    raise RecipeError(
        "no runtime takes this by its look: a bundle has a manifest.json, others are a .gguf or "
        ".pte file, or a folder with genai_config.json (ONNX Runtime GenAI) or openvino_model.xml",
        where=str(path), fix=f"RUNTIME={path}, of {', '.join(RUNTIMES)}",
    )  # fmt: skip


def _interpreter(python: str, text: str) -> str:
    if not python:
        return sys.executable
    found = shutil.which(Path(python).expanduser())
    if found is None:
        raise RecipeError(
            f"'{python}' is no interpreter", where=text, fix="PATH@ENVIRONMENT/bin/python"
        )
    # Not resolved: an environment's interpreter is a link.
    return str(Path(found).absolute())
