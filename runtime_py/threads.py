"""ExecuTorch's thread pool."""

from __future__ import annotations

from runtime_py.compat import reset_thread_pool, thread_pool_size
from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.native_log import captured_native_log
from runtime_py.processor_table import obstacle_to_threads

MAX_THREADS = 1024


def check_threads(count: object) -> None:
    """Raises ArgumentError if ``count`` is no size of a thread pool, or not None."""
    if count is not None:
        _check(count)


def _check(count: object) -> None:
    if type(count) is not int or not 1 <= count <= MAX_THREADS:
        raise ArgumentError(
            f"threads must be a whole number from 1 to {MAX_THREADS} or None, not {shown(count)}"
        )


def thread_count() -> int:
    """Size of the thread pool. The first call creates the pool.

    Raises:
        BundleRuntimeError: the system does not tell its processors.
    """
    _require_processors()
    with captured_native_log():  # the C++ code writes to stderr
        return thread_pool_size()


def set_threads(count: int) -> None:
    """Set the size of the thread pool; call before loading a program.

    Raises:
        ArgumentError: ``count`` is not from 1 to MAX_THREADS.
        BundleRuntimeError: the system does not tell its processors.
    """
    _check(count)
    _require_processors()
    with captured_native_log():
        reset_thread_pool(count)


def _require_processors() -> None:
    obstacle = obstacle_to_threads()
    if obstacle:
        raise BundleRuntimeError(
            "ExecuTorch runs no program on this machine, which hides its processor",
            where=obstacle, fix="mount -t proc proc /proc, or start the container with /proc",
        )  # fmt: skip
