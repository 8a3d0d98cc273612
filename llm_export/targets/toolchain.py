"""The C++ compiler for a processor."""

from __future__ import annotations

import os
import platform
import shlex
import shutil

from llm_export.errors import MissingDependencyError


def compiler_for(architecture: str) -> list[str]:
    """The words that call it: ``CXX`` or g++ for this machine, Debian's cross compiler for another.

    Raises:
        MissingDependencyError: it is not installed.
    """
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
