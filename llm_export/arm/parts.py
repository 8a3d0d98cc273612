"""What emulation needs on this machine: an emulator, a C++ library for it, a runner."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_export.compat.versions import installed
from llm_export.errors import MissingDependencyError
from llm_export.targets.runner_build import compiled, place
from llm_export.targets.sdk import sdk_place
from llm_export.targets.toolchain import compiler_package, compiler_words

ARCHITECTURE = "aarch64"
GET = "llm-export doctor --get arm"
"""The command that fetches libraries and compiles the runner."""
QEMU, SYSROOT = "LLM_EXPORT_QEMU", "QEMU_LD_PREFIX"
"""Environment variables: an emulator other than qemu-aarch64 of the path, empty for none; the
folder of the C and C++ libraries for it, as QEMU itself reads it."""

_SOURCES, _NAME = "llm_export.arm.runner", "llm_export_logits"
_SYSROOT = "/usr/aarch64-linux-gnu"


@dataclass(frozen=True)
class Part:
    """
    Attributes:
        found: where it is; empty if it is not here.
        fix: the command that gets it.
    """

    name: str
    found: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Emulation:
    """All parts of it.

    Attributes:
        emulator: a program that runs others of the architecture.
        sysroot: folder with ``lib/libc.so.6`` of that architecture.
        runner: see ``runner/logits_main.cpp``.
        libraries: folder of ExecuTorch's libraries.
    """

    emulator: Path
    sysroot: Path
    runner: Path
    libraries: Path


def own_kernels() -> bool:
    """Whether this machine is of the architecture: verification runs on its kernels anyway."""
    return platform.machine() in (ARCHITECTURE, "arm64")


def parts() -> list[Part]:
    """Every part, with the command that gets it. Nothing is run, compiled or downloaded."""
    return list(_parts())


def _parts() -> Iterator[Part]:
    compiler = compiler_package(ARCHITECTURE)
    emulator, sysroot = _emulator(), _sysroot()
    yield Part("emulator", emulator or "", "apt-get install qemu-user")
    there = (sysroot / "lib" / "libstdc++.so.6").is_file()
    yield Part("C++ library", str(sysroot) if there else "", f"apt-get install {compiler}")
    if not installed("executorch"):
        yield Part("ExecuTorch", "", "pip install executorch")
        return
    program = place(ARCHITECTURE, _SOURCES, _NAME)
    words = compiler_words(ARCHITECTURE)[0]
    found = str(program) if program.is_file() else shutil.which(words) or ""
    yield Part("compiler", found, f"apt-get install {compiler}")
    libraries = sdk_place(ARCHITECTURE)
    yield Part("ExecuTorch libraries for Arm", str(libraries) if libraries.is_dir() else "", GET)


def lacking() -> list[Part]:
    """The parts that are not here."""
    return [part for part in parts() if not part.found]


def fixes(missing: list[Part]) -> str:
    """One command line for several parts."""
    packages = [p.fix.removeprefix(_APT) for p in missing if p.fix.startswith(_APT)]
    rest = [p.fix for p in missing if not p.fix.startswith(_APT)]
    apt = [_APT + " ".join(dict.fromkeys(packages))] if packages else []
    return " && ".join([*apt, *dict.fromkeys(rest)])


_APT = "apt-get install "


def identity() -> list[object] | None:
    """What a cached result depends on of this machine; None where a part is lacking."""
    if own_kernels() or lacking():
        return None
    emulator = os.stat(_emulator() or "")
    return [emulator.st_size, emulator.st_mtime_ns, str(_sysroot())]


def emulation(*, download: bool = False) -> Emulation:
    """The parts; the runner is compiled if that was not done before.

    Args:
        download: whether ExecuTorch's libraries may be fetched.

    Raises:
        MissingDependencyError: a part is not here.
        LlmExportError: the runner does not compile.
    """
    missing = [p for p in lacking() if not (download and p.fix == GET)]
    if missing:
        raise MissingDependencyError(
            f"Arm kernels cannot be emulated: no {', no '.join(p.name for p in missing)}",
            where="verify.arm", fix=fixes(missing),
        )  # fmt: skip
    runner, *libraries = compiled(ARCHITECTURE, _SOURCES, _NAME, download=download)
    return Emulation(Path(_emulator() or ""), _sysroot(), runner, libraries[0].parent)


def _emulator() -> str | None:
    name = os.environ.get(QEMU, "qemu-aarch64")
    return shutil.which(name) if name else None


def _sysroot() -> Path:
    return Path(os.environ.get(SYSROOT) or _SYSROOT)
