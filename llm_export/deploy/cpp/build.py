"""Configure, build and test a written project."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from llm_export.deploy.cpp.presets import AARCH64, chosen_preset, commands
from llm_export.errors import LlmExportError, MissingDependencyError
from llm_export.targets.sdk import sdk
from llm_export.targets.toolchain import compiler_for

_EMULATOR = "qemu-aarch64"
_TOLD = re.compile(r"check: (.+)|(\d+% tests passed.*)")
_KEPT = 6
"""Lines of a failed command that its error shows."""


def build_project(folder: Path) -> Sequence[str]:
    """Run the project's own three commands.

    Raises:
        MissingDependencyError: a tool is missing, or the libraries of another processor.
        LlmExportError: a command fails.
    """
    preset = chosen_preset(folder)
    name = preset["name"]
    _require("cmake", "cmake")
    _require("make", "make")
    emulated = name == AARCH64 and platform.machine() != AARCH64
    compiler_for(AARCH64 if emulated else platform.machine())
    if emulated:
        _require(_EMULATOR, "qemu-user")
        sdk(AARCH64, where="--set processor=aarch64", instead="run the command where there is one")
    configure, build, test = commands(name)
    _run(configure, folder)
    _run(f"{build} 2", folder)
    tested = _run(f"{test} --verbose", folder)
    told = [found[1] or found[2] for found in _TOLD.finditer(tested)]
    return [f"built {folder / 'build' / name}", *told]


def _require(program: str, package: str) -> None:
    if shutil.which(program) is None:
        raise MissingDependencyError(f"there is no {program} here", where="PATH",
                                     fix=f"apt-get install {package}")  # fmt: skip


def _run(command: str, folder: Path) -> str:
    done = subprocess.run(
        command.split(), cwd=folder, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        raise LlmExportError(
            f"'{command}' failed: {_reason(done.stdout)}", where=str(folder),
            fix=f"cd {folder}; {command}",
        )  # fmt: skip
    return done.stdout


def _reason(output: str) -> str:
    """The lines from the first that names an error on, or the last ones."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    signs = ("error", "Error", "differs", "***Failed")
    first = next((i for i, line in enumerate(lines) if any(s in line for s in signs)), -_KEPT)
    return "; ".join(lines[first:][:_KEPT]) or "no reason given"
