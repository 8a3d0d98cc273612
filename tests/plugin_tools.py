"""Plugins for tests, and the program in an environment that has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from warm_program import program

REPO = Path(__file__).parent.parent
EXAMPLE = REPO / "examples" / "llm_export_example"
Done = subprocess.CompletedProcess[str]

_MANY = """
import contextlib, io, json, sys
from llm_export.cli.main import main
done = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    done.append((code, out.getvalue(), err.getvalue()))
heavy = {"torch", "numpy", "executorch"} & set(sys.modules)
print(json.dumps({"done": done, "heavy": sorted(heavy)}))
"""


class Said(NamedTuple):
    """What one command of ``Environment.many`` left."""

    returncode: int
    stdout: str
    stderr: str


def install_example(site: Path) -> Path:
    """By pip, from a copy: building leaves files beside the source."""
    source = site.parent / "source"
    shutil.copytree(EXAMPLE, source)
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", *words, "--target", str(site), str(source)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return site


def distribution(site: Path, name: str, text: str, version: str = "1.0") -> None:
    """A module with an entry point, as an installer leaves it."""
    (site / f"{name}.py").write_text(text)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[llm_export.plugins]\n{name} = {name}:PLUGIN\n")


class Environment:
    """The program with plugins of ``site`` and a home of its own.

    Args:
        home: holds ``.config/llm_export`` and caches.
    """

    def __init__(self, site: Path, home: Path) -> None:
        self.site, self.home = site, home
        self.home.mkdir(parents=True, exist_ok=True)

    @property
    def config(self) -> Path:
        """The user's own folder."""
        return self.home / ".config" / "llm_export"

    def __call__(self, *words: str, **env: str) -> Done:
        return program(words, self.home, self._variables(env))

    def many(self, *commands: str) -> tuple[list[Said], list[str]]:
        """Several commands in one process, and which of the heavy packages they imported."""
        done = self.python("-c", _MANY, json.dumps([command.split() for command in commands]))
        said = json.loads(done.stdout)
        return [Said(*each) for each in said["done"]], said["heavy"]

    def python(self, *words: str, **env: str) -> Done:
        return subprocess.run(
            [sys.executable, *words], cwd=self.home, env=self._variables(env),
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip

    def _variables(self, env: dict[str, str]) -> dict[str, str]:
        variables = {**os.environ, "HOME": str(self.home), **env}
        variables["PYTHONPATH"] = os.pathsep.join([str(self.site), str(REPO / "tests")])
        variables.pop("XDG_CONFIG_HOME", None)
        return variables
