"""What the runtime relies on of ExecuTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_thread_pool() -> None:
    """In a process of its own: the pool is the process's."""
    code = (
        "from runtime_py.compat import reset_thread_pool, thread_pool_size\n"
        "reset_thread_pool(3)\nassert thread_pool_size() == 3\n"
        "reset_thread_pool(1)\nassert thread_pool_size() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
