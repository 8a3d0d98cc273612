"""ExecuTorch's thread pool."""

from __future__ import annotations

import sys

from runtime_py.compat import reset_thread_pool, thread_pool_size
from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.native_log import captured_native_log

MAX_THREADS = 1024

_CPUS = "/proc/cpuinfo"
"""What ExecuTorch counts CPUs by on Linux. Without it, it ends the process."""


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
    if not sys.platform.startswith("linux"):
        return
    try:
        with open(_CPUS, "rb"):
            pass
    except OSError as error:
        raise BundleRuntimeError(
            f"ExecuTorch needs {_CPUS}, which cannot be read: {error.strerror}",
            fix="mount /proc, for example in the container or chroot",
        ) from None
