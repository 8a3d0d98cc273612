"""Measure with ``runtime_py`` and the Python of the device, which needs ExecuTorch's wheel."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from packaging.requirements import Requirement

import runtime_py
from llm_export.errors import TargetError
from llm_export.targets.base import Target
from llm_export.targets.command import last_line
from llm_export.targets.facts import DeviceFacts
from llm_export.targets.push import Item
from llm_export.targets.runners import Measurement, Places, Runner, Say, of_bundle
from llm_export.targets.supervise import run_supervised
from runtime_py.bundle import MANIFEST, Bundle

NEEDS = ("torch", "executorch", "tokenizers", "jinja2", "jsonschema", "psutil", "numpy")
"""Packages that ``runtime_py`` and ExecuTorch import for a benchmark; each is a module of the same
name."""
_LEAST = (3, 10)
_ARCHIVE = "runtime_py.zip"
_LEFT_OUT = re.compile(
    r"(^|/)__pycache__/|\.egg-info/|^server/|^(LICENSE|README\.md|pyproject\.toml)$"
)
_PROBE = """
import importlib.util as u, json, sys
print(json.dumps([sys.version_info[:2], [n for n in sys.argv[1:] if u.find_spec(n) is None]]))
"""


class PythonRunner(Runner):
    """
    Args:
        python: the interpreter on the device: a path, or a name in PATH.
    """

    name = "python"

    def __init__(self, python: str = "python3") -> None:
        self._python = python
        self._folder = tempfile.TemporaryDirectory(prefix="llm_export_")

    def files(
        self, bundle: Bundle, adapter: str | None, facts: DeviceFacts
    ) -> tuple[list[Item], list[Item]]:
        bundle.adapter_file(adapter)  # raises an error if there is no such adapter
        archive = Path(self._folder.name, _ARCHIVE)
        pack_runtime(archive)
        manifest = Item.of(bundle.path / MANIFEST, MANIFEST)
        return ([*of_bundle(bundle, list(bundle.manifest["files"])), manifest],
                [Item.of(archive, _ARCHIVE)])  # fmt: skip

    def check(self, target: Target, settings: dict[str, Any]) -> None:
        python = shlex.quote(self._python)
        done = target.run(f"exec {python} -c {shlex.quote(_PROBE)} {' '.join(NEEDS)}")
        if done.code:
            raise TargetError(
                f"the device has no usable '{self._python}': {done.reason}", where=target.address,
                fix="install Python there, or name it: --target-python PATH",
            )  # fmt: skip
        try:
            version, missing = json.loads(done.out)
        except ValueError:
            raise TargetError(
                f"the device's '{self._python}' does not answer as Python does",
                where=target.address, fix="name another one: --target-python PATH",
            ) from None  # fmt: skip
        if tuple(version) < _LEAST:
            raise TargetError(
                f"the device's '{self._python}' is Python {version[0]}.{version[1]}; "
                f"{_LEAST[0]}.{_LEAST[1]} is the oldest that works", where=target.address,
                fix="name a newer one: --target-python PATH",
            )  # fmt: skip
        if missing:
            words = " ".join(shlex.quote(requirement_of(name)) for name in missing)
            raise TargetError(
                f"the device's '{self._python}' lacks {', '.join(missing)}", where=target.address,
                fix=f"on the device: {python} -m pip install {words}; "
                "or name another Python: --target-python PATH",
            )  # fmt: skip

    def measure(
        self, target: Target, bundle: Bundle, places: Places, wanted: Measurement, say: Say
    ) -> dict[str, Any]:
        words = [
            "env", f"PYTHONPATH={places.runner}/{_ARCHIVE}", "PYTHONDONTWRITEBYTECODE=1",
            self._python, "-m", "runtime_py.benchmark", places.bundle, "--json",
            *arguments_of(wanted.settings),
        ]  # fmt: skip
        say("measuring")
        done, _ = run_supervised(target, shlex.join(words), timeout=wanted.time_limit)
        if done.code:
            raise TargetError(f"the benchmark failed on the device: {_reason(done.err)}",
                              where=f"{target.address}, exit code {done.code}")  # fmt: skip
        try:
            found = json.loads(done.out[done.out.index("{") :])
        except ValueError:
            raise TargetError("the device's benchmark printed no result", where=target.address,
                              fix=f"it printed: {done.out[:200]}") from None  # fmt: skip
        machine = found["machine"]
        if machine["processor"] in ("", places.facts.architecture):
            machine["processor"] = places.facts.processor
        return dict(found)


def arguments_of(settings: dict[str, Any]) -> list[str]:
    """Arguments of ``python -m runtime_py.benchmark``; lists are joined by commas."""
    words = []
    for name, value in settings.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return words


def pack_runtime(archive: Path) -> None:
    """Write ``runtime_py`` as a zip file that Python imports; the same bytes for the same files."""
    with ZipFile(archive, "w", ZIP_DEFLATED) as made:
        for name, file in runtime_files().items():
            made.writestr(ZipInfo(f"runtime_py/{name}"), file.read_bytes(), ZIP_DEFLATED)


def runtime_files() -> dict[str, Path]:
    """Files of the installed runtime by their path in its package: without its server, which needs
    further packages, and without those that only its distribution needs."""
    source = Path(runtime_py.__file__).parent
    files = {
        file.relative_to(source).as_posix(): file
        for file in sorted(source.rglob("*"))
        if file.is_file()
    }
    return {name: file for name, file in files.items() if not _LEFT_OUT.search(name)}


def requirement_of(name: str) -> str:
    """The versions of a package that this program works with."""
    try:
        lines = requires("llm_export") or []
    except PackageNotFoundError:
        lines = []
    for requirement in map(Requirement, lines):
        if requirement.name == name and requirement.marker is None:
            return f"{name}{requirement.specifier}"
    return name


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if line.startswith("error: "):
            return "\n".join([line.removeprefix("error: "), *lines[index + 1 :]])
    return last_line(said) or "it printed nothing"
