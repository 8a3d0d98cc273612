"""An ExecuTorch program that is called method by method, for tasks other than text generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from runtime_py.errors import BundleRuntimeError
from runtime_py.native_log import captured_native_log
from runtime_py.program_error import program_problem
from runtime_py.program_file import loaded_methods, opened_program
from runtime_py.program_header import check_program_header
from runtime_py.threads import set_threads, thread_count


class MethodProgram:
    """A loaded program. Methods are loaded when they are first called, and share their buffers.

    One call runs at a time; callers hold a lock where threads share it.

    Args:
        path: the .pte file.
        threads: size of the thread pool; None keeps ExecuTorch's choice.

    Raises:
        BundleRuntimeError: the file cannot be loaded here; includes ExecuTorch's message.
    """

    load_settings: Mapping[str, Any] = {}
    """Further arguments of ``Runtime.load_program``."""

    def __init__(
        self, path: Path, *, threads: int | None = None, data_path: Path | None = None
    ) -> None:
        check_program_header(path)
        self.path = path
        self._loaded: dict[str, Any] = {}
        thread_count()
        if threads is not None:
            set_threads(threads)
        failure: Exception | None = None
        with captured_native_log() as log:
            try:
                self._program: Any = opened_program(path, data_path, **self.load_settings)
            except Exception as error:
                failure = error
        if failure is not None:
            raise program_problem(path, "cannot be loaded", failure, log.text)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of all methods, constant ones included."""
        return tuple(sorted(self._opened().method_names))

    def load(self, name: str) -> Any:
        """Load a method now instead of with its first call; returns ExecuTorch's method.

        Raises:
            BundleRuntimeError: there is no such method, or a delegate of it cannot run here.
        """
        if name in self._loaded:
            return self._loaded[name]
        program = self._opened()
        if name not in program.method_names:
            raise BundleRuntimeError(
                f"the program has no method '{name}'", where=str(self.path),
                fix=f"it has {', '.join(self.methods)}",
            )  # fmt: skip
        failure: Exception | None = None
        with captured_native_log() as log:
            try:
                if self._loaded:
                    self._loaded[name] = program.load_method(name)
                else:
                    self._loaded = loaded_methods(program, [name])
            except Exception as error:
                failure = error
        if failure is not None:
            raise program_problem(self.path, f"cannot load '{name}'", failure, log.text)
        return self._loaded[name]

    def call(self, name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run a method; returns its outputs, which the next call of it overwrites.

        Raises:
            BundleRuntimeError: no such method, or ExecuTorch fails; includes its message.
        """
        method = self.load(name)
        try:
            return list(method.execute(tuple(inputs)))
        except Exception as error:
            raise program_problem(self.path, f"failed in '{name}'", error, "") from None

    @property
    def closed(self) -> bool:
        return self._program is None

    def close(self) -> None:
        """Release the program's memory."""
        self._loaded.clear()
        self._program = None

    def _opened(self) -> Any:
        if self._program is None:
            raise BundleRuntimeError("the program is closed", where=str(self.path))
        return self._program
