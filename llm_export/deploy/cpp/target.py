"""A command-line chat in C++ with CMake, for this machine and for 64-bit Arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.cpp.build import build_project
from llm_export.deploy.cpp.libraries import BACKENDS, OPERATORS
from llm_export.deploy.cpp.obstacles import obstacles
from llm_export.deploy.cpp.project import cpp_project, of_adapter
from llm_export.deploy.cpp.settings import OPTIONS, cpp_options


def with_options(said: Mapping[str, str]) -> DeployTarget:
    """The target as its options make it: a source tree has all operators and backends.

    Raises:
        RecipeError: an option's value is wrong.
    """
    options = cpp_options(said)
    made = replace(TARGET, obstacles=lambda bundle: list(obstacles(of_adapter(bundle, options))))
    return replace(made, backends=None, operators=None) if options.sources else made


TARGET = DeployTarget(
    "a command-line chat in C++ with CMake, for this machine and for 64-bit Arm",
    cpp_project,
    obstacles=lambda bundle: list(obstacles(bundle)),
    backends=frozenset(BACKENDS),
    operators=frozenset(OPERATORS),
    options=OPTIONS,
    build=build_project,
    leftovers=frozenset({"build"}),
    for_options=with_options,
)
"""A chat on the command line: C++ with CMake, for this machine and for 64-bit Arm."""
