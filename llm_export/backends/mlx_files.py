"""Run the generator that ExecuTorch ships for its MLX backend.

The macOS package contains the generated files; the Linux package does not. Run ``python -m
llm_export.backends.mlx_files`` once per environment to create them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from llm_export.backends.packages import has_module
from llm_export.compat.vendor_backends import MLX_SERIALIZERS


def main() -> int:
    """Generate the files; exit code 0 if they exist afterwards."""
    if has_module(MLX_SERIALIZERS):
        print("the files are there already")
        return 0
    import executorch

    package = Path(executorch.__path__[0])
    command = [
        sys.executable, str(package / "backends/mlx/serialization/generate.py"),
        "--flatc", str(package / "data/bin/flatc"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    # It fails on a C++ template that the package lacks, but after writing the Python files.
    if has_module(MLX_SERIALIZERS):
        print("done")
        return 0
    print(done.stderr.strip().splitlines()[-1] if done.stderr else "the generator wrote nothing")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
