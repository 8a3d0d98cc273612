"""Compile a program for a Linux device from the C++ libraries of ExecuTorch's wheel."""

from __future__ import annotations

import hashlib
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from llm_export.errors import LlmExportError, MissingDependencyError
from llm_export.targets.facts import DeviceFacts
from llm_export.targets.sdk import sdk, sdk_cache, sdk_place, sdk_version
from llm_export.targets.toolchain import compiler_for, compiler_words

RUNNER = "llm_export.targets.runner"
"""The package of the C++ that measures; its headers are those of other programs too."""
_LIBRARIES = ("executorch", "executorch_backend_xnnpack", "executorch_kernels_optimized",
              "executorch_kernels_quantized", "executorch_threadpool")  # fmt: skip
_FLAGS = ("-std=c++17", "-O2", "-w", "-DC10_USING_CUSTOM_GENERATED_MACROS")


def build(facts: DeviceFacts) -> list[Path]:
    """The runner for a device, and the libraries that it loads; it is compiled once.

    Raises:
        MissingDependencyError: no compiler here, no libraries for the device, or no network.
        LlmExportError: the source does not compile.
    """
    if facts.system != "Linux" or facts.release.startswith("Android"):
        raise MissingDependencyError(
            f"ExecuTorch's wheel has no C++ libraries for {facts.release or facts.system}",
            fix="build llama_main for it, and give it with --runner; see docs/devices.md",
        )
    return compiled(facts.architecture, RUNNER, "llm_export_bench")


def compiled(architecture: str, sources: str, name: str, *, download: bool = True) -> list[Path]:
    """A program for a Linux device, and the libraries that it loads; it is compiled once.

    Args:
        sources: the package whose ``.cpp`` files it is compiled from.
        name: of the program.
        download: whether the libraries may be fetched, if they are not here.

    Raises:
        MissingDependencyError: no compiler here, no libraries for the device, or no network.
        LlmExportError: the source does not compile.
    """
    program = place(architecture, sources, name)
    compiler = None if program.is_file() else compiler_for(architecture)
    package = _package(architecture, download=download)
    libraries = [package / "lib" / f"lib{name}.so" for name in _LIBRARIES]
    if missing := [file.name for file in libraries if not file.is_file()]:
        raise MissingDependencyError(f"the executorch package has no {missing[0]}",
                                     where=str(package), fix="pip install executorch")  # fmt: skip
    if compiler is not None:
        _compile(compiler, runner_sources(sources), package, program)
    return [program, *libraries]


def place(architecture: str, sources: str, name: str) -> Path:
    """Where the compiled program is kept, once there is one."""
    texts = runner_sources(sources)
    words = shlex.join([*compiler_words(architecture), *_FLAGS, sdk_version(), architecture])
    key = hashlib.sha256(b"".join(texts[each] for each in sorted(texts)) + words.encode())
    return sdk_cache() / key.hexdigest()[:16] / name


def runner_sources(package: str = RUNNER) -> Mapping[str, bytes]:
    """C++ sources of a package by file name, with its headers and those of ``RUNNER``."""
    return {
        file.name: file.read_bytes()
        for each, endings in ((RUNNER, ".h"), (package, (".cpp", ".h")))
        for file in resources.files(each).iterdir()
        if file.name.endswith(endings)
    }


def _package(architecture: str, *, download: bool) -> Path:
    there = sdk_place(architecture)
    if architecture != platform.machine() and not there.is_dir():
        if not download:
            raise MissingDependencyError(
                f"ExecuTorch's libraries for {architecture} are not here", where=str(there.parent)
            )
        return sdk(
            architecture, where=f"a program for {architecture}",
            instead="build llama_main for the device and give it with --runner",
        )  # fmt: skip
    return there


def _compile(compiler: list[str], texts: Mapping[str, bytes], package: Path, program: Path) -> None:
    include = package / "include"
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        for name, content in texts.items():
            Path(folder, name).write_bytes(content)
        files = sorted(str(Path(folder, name)) for name in texts if name.endswith(".cpp"))
        made = Path(folder, program.name)
        done = subprocess.run(
            [*compiler, *_FLAGS, f"-I{include}",
             f"-I{include}/executorch/runtime/core/portable_type/c10", *files,
             f"-L{package / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in _LIBRARIES),
             "-o", str(made)],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            reason = next((n for n in done.stderr.splitlines() if "error" in n), "no reason given")
            raise LlmExportError(f"the runner does not compile: {reason}", where=compiler[0],
                                 fix="a compiler with C++17, e.g. CXX=g++-12")  # fmt: skip
        made.rename(program)
