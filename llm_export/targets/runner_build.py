"""Compile a runner for a Linux device from the C++ libraries of ExecuTorch's wheel.

The wheels for Linux on x86-64 and aarch64 have headers and shared libraries of the runtime, of its
kernels and of XNNPACK (share/cmake/executorch-config.cmake names them). Operators of LLMs
(``llama::``) are not among them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from llm_export.checkpoints.cache import cache_dir
from llm_export.checkpoints.package import download_wheel
from llm_export.compat.versions import installed
from llm_export.errors import LlmExportError, MissingDependencyError
from llm_export.targets.facts import DeviceFacts

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
    return compiled(facts.architecture, "llm_export.targets.runner", "llm_export_bench")


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
    compiler = None if program.is_file() else _compiler(architecture)
    package = _package(architecture, download=download)
    libraries = [package / "lib" / f"lib{name}.so" for name in _LIBRARIES]
    if missing := [file.name for file in libraries if not file.is_file()]:
        raise MissingDependencyError(f"the executorch package has no {missing[0]}",
                                     where=str(package), fix="pip install executorch")  # fmt: skip
    if compiler is not None:
        _compile(compiler, _texts(sources), package, program)
    return [program, *libraries]


def place(architecture: str, sources: str, name: str) -> Path:
    """Where the compiled program is kept, once there is one."""
    words = shlex.join([*compiler_words(architecture), *_FLAGS, _version(), architecture])
    said = words.encode() + b"".join(_texts(sources).values())
    return _cache() / hashlib.sha256(said).hexdigest()[:16] / name


def _texts(sources: str) -> dict[str, bytes]:
    files = (f for f in resources.files(sources).iterdir() if f.name.endswith(".cpp"))
    return {file.name: file.read_bytes() for file in sorted(files, key=lambda f: f.name)}


def _compile(compiler: list[str], texts: dict[str, bytes], package: Path, program: Path) -> None:
    include = package / "include"
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        files, made = [Path(folder, name) for name in texts], Path(folder, program.name)
        for file in files:
            file.write_bytes(texts[file.name])
        done = subprocess.run(
            [*compiler, *_FLAGS, f"-I{include}",
             f"-I{include}/executorch/runtime/core/portable_type/c10", *map(str, files),
             f"-L{package / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in _LIBRARIES),
             "-o", str(made)],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            reason = next((n for n in done.stderr.splitlines() if "error" in n), "no reason given")
            raise LlmExportError(f"the runner does not compile: {reason}", where=compiler[0],
                                 fix="a compiler with C++17, e.g. CXX=g++-12")  # fmt: skip
        made.rename(program)


def compiler_words(architecture: str) -> list[str]:
    """The command of the compiler for that processor."""
    if architecture == platform.machine():
        return shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return [f"{architecture}-linux-gnu-g++"]


def compiler_package(architecture: str) -> str:
    """Debian's package of the compiler."""
    if architecture == platform.machine():
        return "g++"
    return f"g++-{architecture.replace('_', '-')}-linux-gnu"


def _compiler(architecture: str) -> list[str]:
    words = compiler_words(architecture)
    if shutil.which(words[0]) is None:
        raise MissingDependencyError(
            f"there is no compiler '{words[0]}' here", where="PATH",
            fix=f"apt-get install {compiler_package(architecture)}",
        )  # fmt: skip
    return words


def _package(architecture: str, *, download: bool) -> Path:
    """The folder of ExecuTorch's package for that processor."""
    if architecture == platform.machine():
        spec = find_spec("executorch")
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependencyError("ExecuTorch is not installed here",
                                         fix="pip install executorch")  # fmt: skip
        return Path(next(iter(spec.submodule_search_locations)))
    folder = unpacked(architecture)
    if not folder.is_dir():
        if not download:
            raise MissingDependencyError(
                f"ExecuTorch's libraries for {architecture} are not here", where=str(folder)
            )
        _download(architecture, folder)
    return folder / "executorch"


def unpacked(architecture: str) -> Path:
    """Where the package for another processor than this machine's is kept, once there is one."""
    return _cache() / f"executorch-{_version()}-{architecture}"


def _download(architecture: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        file = download_wheel(
            "executorch", _version(), Path(partial), where=f"--runner build, for {architecture}",
            fix="a network, or build llama_main for the device and give it with --runner",
            options=["--platform", f"manylinux_2_28_{architecture}"],
        )  # fmt: skip
        whole = Path(partial, "whole")
        with ZipFile(file) as wheel:
            parts = ("executorch/include/", "executorch/lib/")
            wheel.extractall(whole, [n for n in wheel.namelist() if n.startswith(parts)])
        whole.rename(folder)


def _version() -> str:
    if not (found := installed("executorch")):
        raise MissingDependencyError("ExecuTorch is not installed here",
                                     fix="pip install executorch")  # fmt: skip
    return found


def _cache() -> Path:
    return cache_dir() / "runners"
