"""ExecuTorch functions without a public name that the runtime uses.

Written for executorch 1.5. Its Python runtime loads and runs programs but has no API for threads.
"""

from __future__ import annotations


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
