"""ExecuTorch functions without a public name that the runtime uses.

Written for executorch 1.5. Its Python runtime loads and runs programs but has no API for threads,
and copies what a method returns. Importing it also imports the exporter, for a class of warnings,
and the operators' modules import torch's compiler: 3 seconds of CPU that running needs nothing of.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from runtime_py.errors import MissingPackageError

_EXPORTER = "executorch.exir"
_OPERATORS = (
    "kernels/quantized/*quantized_ops_aot_lib.*",
    "extension/llm/custom_ops/*custom_ops_aot_lib.*",
)
"""Libraries whose operators register themselves when they are loaded."""


def import_executorch() -> None:
    """Import ``executorch.runtime``, without the exporter if nothing has imported it yet.

    Raises:
        MissingPackageError: it is not installed.
        ImportError: its library cannot be loaded.
    """
    with _without_exporter():
        import executorch.extension.pybindings.portable_lib
        import executorch.runtime  # noqa: F401


def load_operator_libraries() -> None:
    """Register the kernels of quantized and custom operators, which exported LLMs use; those that
    the installed ExecuTorch lacks are left out."""
    import torch

    import_executorch()
    for pattern in _OPERATORS:
        for library in _package().glob(pattern):
            with contextlib.suppress(OSError):
                torch.ops.load_library(library)


def _package() -> Path:
    spec = find_spec("executorch")
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            "ExecuTorch is not installed",
            fix='pip install --no-deps "executorch>=1.5.1,<1.6"; what it declares is for export',
        )
    return Path(next(iter(spec.submodule_search_locations)))


@contextlib.contextmanager
def _without_exporter() -> Iterator[None]:
    """In the block, modules of the exporter are found without its ``__init__``, which imports all
    of them. Afterwards they count as not imported."""
    if _EXPORTER in sys.modules:
        yield
        return
    empty = ModuleType(_EXPORTER)
    empty.__path__ = [str(_package() / "exir")]
    sys.modules[_EXPORTER] = empty
    try:
        yield
    finally:
        for name in [n for n in sys.modules if n == _EXPORTER or n.startswith(f"{_EXPORTER}.")]:
            del sys.modules[name]


def thread_pool_size() -> int:
    """Size of ExecuTorch's thread pool. The first call creates the pool, whose C++ code writes to
    stderr.
    """
    import_executorch()
    from executorch.extension.pybindings import portable_lib

    return int(portable_lib._threadpool_get_thread_count())


def reset_thread_pool(threads: int) -> None:
    """Recreate the thread pool. No program may be running."""
    import_executorch()
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)


def returned_memory(method: Any) -> Sequence[Any]:
    """What a method of ``executorch.runtime`` without inputs returns: tensors on the program's own
    memory, which end with the program.
    """
    found: Sequence[Any] = method._method.call([], clone_outputs=False)
    return found


def planned_outputs(method: Any) -> Sequence[Any]:
    """The tensors, on the program's own memory, in which a loaded method will return its results;
    none if it takes memory for one of them when it runs."""
    meta = method.metadata
    try:
        outputs = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
    except (IndexError, RuntimeError):  # of an output that is no tensor
        return ()
    if not all(each.is_memory_planned() for each in outputs):
        return ()
    found: Sequence[Any] = method._method.get_outputs(clone_outputs=False)
    return found
