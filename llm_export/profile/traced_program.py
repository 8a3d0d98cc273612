"""Programs that ExecuTorch traces while they run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_export.errors import MissingDependencyError
from runtime_py.method_program import MethodProgram
from runtime_py.native_log import captured_native_log
from runtime_py.program import Program


class Traced:
    """Each call of a method is recorded."""

    load_settings: Mapping[str, Any] = {"enable_etdump": True, "debug_buffer_size": 0}
    _program: Any

    def write_trace(self, path: Path) -> None:
        """Write what was recorded since the last call.

        Raises:
            MissingDependencyError: this build of ExecuTorch has no tracer.
        """
        try:
            with captured_native_log():
                self._program.write_etdump_result_to_file(str(path), str(path) + ".debug")
        except Exception as error:
            failure: Exception | None = error
        else:
            failure = None
        if failure is not None or not path.is_file() or not path.stat().st_size:
            raise MissingDependencyError(
                "this build of ExecuTorch does not trace programs",
                where=str(failure or "no trace was written"),
                fix="the executorch package of the Python package index, or a build with "
                "EXECUTORCH_ENABLE_EVENT_TRACER=ON",
            )


class TracedProgram(Traced, Program):
    """As ``Program``; each step is recorded."""

    def method_of(self, tokens: int) -> str | None:
        """The method that takes a step of so many tokens; None if several steps take them."""
        return self._method_for(tokens)


class TracedMethods(Traced, MethodProgram):
    """As ``MethodProgram``; each call is recorded."""
