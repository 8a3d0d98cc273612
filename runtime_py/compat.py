"""What the runtime uses of ExecuTorch that has no public name.

Written for executorch 1.5. Its Python runtime loads and runs programs, and says nothing of threads.
"""

from __future__ import annotations


def thread_pool_size() -> int:
    """Threads of ExecuTorch's pool; the first call makes it, and its C++ code writes to stderr."""
    from executorch.extension.pybindings import portable_lib

    return int(portable_lib._threadpool_get_thread_count())


def reset_thread_pool(threads: int) -> None:
    """Make the pool anew. No program may be running."""
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)
