"""The runner that a command asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_export.errors import MissingDependencyError, RecipeError
from llm_export.targets import TARGETS
from llm_export.targets.built_runner import BuiltRunner
from llm_export.targets.native_runner import NativeRunner
from llm_export.targets.python_runner import PythonRunner
from llm_export.targets.runners import Runner

BUILD = "build"
"""Instead of a path: compile a runner from ExecuTorch's wheel."""


def runner_for(
    address: str, path: str | Path | None, arguments: Sequence[str], python: str | None
) -> Runner:
    """
    Args:
        address: of the target.
        path: a native runner, or ``BUILD``.
        python: the device's interpreter.

    Raises:
        RecipeError: both are given, or arguments without a native runner.
        MissingDependencyError: the device has no Python, and no runner is given.
        InputError: there is no such runner.
    """
    if path is not None and python is not None:
        raise RecipeError("--runner and --target-python exclude each other", fix="one of them")
    if path is not None and str(path) != BUILD:
        return NativeRunner(path, arguments)
    if arguments:
        raise RecipeError("arguments of a runner need a runner", fix="--runner PATH")
    if path is not None:
        return BuiltRunner()
    kind = TARGETS.get(address.partition(":")[0])
    if python is None and not kind.python:
        raise MissingDependencyError(
            f"{kind.usage} needs a runner that was built for the device", where=address,
            fix="--runner llama_main: build ExecuTorch's examples/models/llama with the Android "
            "NDK; see docs/devices.md",
        )  # fmt: skip
    return PythonRunner(python or "python3")
