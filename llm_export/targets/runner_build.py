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
_NAME = "llm_export_bench"
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
    architecture = facts.architecture
    compiler, package = _compiler(architecture), _package(architecture)
    libraries = [package / "lib" / f"lib{name}.so" for name in _LIBRARIES]
    if missing := [file.name for file in libraries if not file.is_file()]:
        raise MissingDependencyError(f"the executorch package has no {missing[0]}",
                                     where=str(package), fix="pip install executorch")  # fmt: skip
    source = resources.files("llm_export.targets.runner").joinpath("bench_main.cpp").read_bytes()
    words = shlex.join([*compiler, _version(), architecture]).encode()
    folder = _cache() / hashlib.sha256(source + words).hexdigest()[:16]
    program = folder / _NAME
    if not program.is_file():
        _compile(compiler, source, package, program)
    return [program, *libraries]


def _compile(compiler: list[str], source: bytes, package: Path, program: Path) -> None:
    include = package / "include"
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        file, made = Path(folder, "bench_main.cpp"), Path(folder, _NAME)
        file.write_bytes(source)
        done = subprocess.run(
            [*compiler, *_FLAGS, f"-I{include}",
             f"-I{include}/executorch/runtime/core/portable_type/c10", str(file),
             f"-L{package / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in _LIBRARIES),
             "-o", str(made)],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            reason = next((n for n in done.stderr.splitlines() if "error" in n), "no reason given")
            raise LlmExportError(f"the runner does not compile: {reason}", where=compiler[0],
                                 fix="a compiler with C++17, e.g. CXX=g++-12")  # fmt: skip
        made.rename(program)


def _compiler(architecture: str) -> list[str]:
    if architecture == platform.machine():
        words = shlex.split(os.environ.get("CXX", "")) or ["g++"]
        package = "g++"
    else:
        words = [f"{architecture}-linux-gnu-g++"]
        package = f"g++-{architecture.replace('_', '-')}-linux-gnu"
    if shutil.which(words[0]) is None:
        raise MissingDependencyError(f"there is no compiler '{words[0]}' here", where="PATH",
                                     fix=f"apt-get install {package}")  # fmt: skip
    return words


def _package(architecture: str) -> Path:
    """The folder of ExecuTorch's package for that processor."""
    if architecture == platform.machine():
        spec = find_spec("executorch")
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependencyError("ExecuTorch is not installed here",
                                         fix="pip install executorch")  # fmt: skip
        return Path(next(iter(spec.submodule_search_locations)))
    folder = _cache() / f"executorch-{_version()}-{architecture}"
    if not folder.is_dir():
        _download(architecture, folder)
    return folder / "executorch"


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
