"""Compile a runner for a Linux device from the C++ libraries of ExecuTorch's wheel."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from llm_export.errors import LlmExportError, MissingDependencyError
from llm_export.targets.facts import DeviceFacts
from llm_export.targets.sdk import sdk, sdk_cache, sdk_version
from llm_export.targets.toolchain import compiler_for

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
    compiler = compiler_for(architecture)
    package = sdk(
        architecture, where=f"--runner build, for {architecture}",
        instead="build llama_main for the device and give it with --runner",
    )  # fmt: skip
    libraries = [package / "lib" / f"lib{name}.so" for name in _LIBRARIES]
    if missing := [file.name for file in libraries if not file.is_file()]:
        raise MissingDependencyError(f"the executorch package has no {missing[0]}",
                                     where=str(package), fix="pip install executorch")  # fmt: skip
    sources = runner_sources()
    words = shlex.join([*compiler, sdk_version(), architecture]).encode()
    key = hashlib.sha256(b"".join(sources[name] for name in sorted(sources)) + words)
    program = sdk_cache() / key.hexdigest()[:16] / _NAME
    if not program.is_file():
        _compile(compiler, sources, package, program)
    return [program, *libraries]


def runner_sources() -> Mapping[str, bytes]:
    """C++ of the runner by file name; its headers are those of deployed programs too."""
    folder = resources.files("llm_export.targets.runner")
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.endswith((".cpp", ".h"))
    }


def _compile(
    compiler: list[str], sources: Mapping[str, bytes], package: Path, program: Path
) -> None:
    include = package / "include"
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        for name, content in sources.items():
            Path(folder, name).write_bytes(content)
        file, made = Path(folder, "bench_main.cpp"), Path(folder, _NAME)
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
