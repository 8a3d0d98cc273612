"""Open a program file with ExecuTorch's bindings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runtime_py.compat import load_operator_libraries, planned_outputs
from runtime_py.native_log import captured_native_log
from runtime_py.paging import pages_on_demand
from runtime_py.zero_pages import release_zero_pages


def load_operators() -> None:
    """Register the kernels of the custom and quantized operators that exported LLMs use."""
    load_operator_libraries()


def warm_up_imports() -> None:
    """Import ExecuTorch's libraries. This is done once per process and should not count as program
    load time.
    """
    with captured_native_log():
        load_operators()


def opened_program(path: Path, data_path: Path | None, **settings: Any) -> Any:
    """ExecuTorch's ``Program`` of a .pte file, and of the .ptd file with its further weights.

    Args:
        settings: further ones of ``Runtime.load_program``.
    """
    load_operators()
    from executorch.runtime import Runtime, Verification

    files = [path] if data_path is None else [path, data_path]
    with pages_on_demand(files):
        return Runtime.get().load_program(
            path, verification=Verification.InternalConsistency, data_path=data_path, **settings
        )


def loaded_methods(program: Any, names: Iterable[str], state: Sequence[Any] = ()) -> dict[str, Any]:
    """Methods of a program of which nothing has run yet, by name. Pages of the program's memory
    that still hold only zeros are released.

    Args:
        state: tensors on the memory that holds the caches.
    """
    release_zero_pages(state)  # before delegates take memory for their weights
    methods = {name: program.load_method(name) for name in names}
    release_zero_pages([each for method in methods.values() for each in planned_outputs(method)])
    return methods
