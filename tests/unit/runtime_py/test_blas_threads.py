"""Where the runtime is imported first, BLAS has one thread."""

from __future__ import annotations

import os
import subprocess
import sys


def test_blas_has_one_thread_where_the_runtime_comes_first() -> None:
    def threads(first: str, **setting: str) -> str:
        code = f"import os, {first}, runtime_py; print(os.environ.get('MKL_NUM_THREADS'))"
        clean = {k: v for k, v in os.environ.items() if k != "MKL_NUM_THREADS"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**clean, **setting}, check=True
        )
        return done.stdout.strip()

    assert threads("json") == "1"
    assert threads("json", MKL_NUM_THREADS="3") == "3"
    assert threads("torch") == "None", "it would be read too late, and by others"
