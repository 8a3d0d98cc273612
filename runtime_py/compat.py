"""ExecuTorch functions without a public name that the runtime uses.

Written for executorch 1.5. Its Python runtime loads and runs programs but has no API for threads,
and copies what a method returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def thread_pool_size() -> int:
    """Size of ExecuTorch's thread pool. The first call creates the pool, whose C++ code writes to
    stderr.
    """
    from executorch.extension.pybindings import portable_lib

    return int(portable_lib._threadpool_get_thread_count())


def reset_thread_pool(threads: int) -> None:
    """Recreate the thread pool. No program may be running."""
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)


def returned_memory(method: Any) -> Sequence[Any]:
    """What a method of ``executorch.runtime`` without inputs returns: tensors on the program's own
    memory, which end with the program.
    """
    found: Sequence[Any] = method._method.call([], clone_outputs=False)
    return found
