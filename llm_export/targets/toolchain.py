"""The C++ compiler for a processor."""

from __future__ import annotations

import os
import platform
import shlex
import shutil

from llm_export.errors import MissingDependencyError


def compiler_for(architecture: str) -> list[str]:
    """The words of ``compiler_words``, of a compiler that is here.

    Raises:
        MissingDependencyError: it is not installed.
    """
    words = compiler_words(architecture)
    if shutil.which(words[0]) is None:
        raise MissingDependencyError(
            f"there is no compiler '{words[0]}' here", where="PATH",
            fix=f"apt-get install {compiler_package(architecture)}",
        )  # fmt: skip
    return words


def compiler_words(architecture: str) -> list[str]:
    """What calls it: ``CXX`` or g++ for this machine, Debian's cross compiler for another."""
    if architecture == platform.machine():
        return shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return [f"{architecture}-linux-gnu-g++"]


def compiler_package(architecture: str) -> str:
    """Debian's package of the compiler."""
    if architecture == platform.machine():
        return "g++"
    return f"g++-{architecture.replace('_', '-')}-linux-gnu"
