"""What went wrong in ExecuTorch, from its error codes and its log."""

from __future__ import annotations

from pathlib import Path

from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import reason

# Common ExecuTorch error codes (runtime/core/error.h), with their usual cause.
_CAUSES = {
    "0x23": "the file is damaged",
    "0x14": "the program needs an operator that is not linked into this runtime",
    "0x20": "the program needs a backend that is not linked into this runtime",
    "0x30": "the program was made by an incompatible version of its backend",
    "0x12": "the program was given an argument that it does not take",
    "0x21": "there is not enough memory",
}


def program_problem(path: Path, what: str, error: Exception, log: str) -> BundleRuntimeError:
    """
    Args:
        what: that the program did or could not do.
        log: of ExecuTorch.
    """
    text = f"{error} {log}".replace("error: 0x:", "error: 0x")
    cause = next((c for code, c in _CAUSES.items() if code in text), reason(error))
    said = [line for line in log.splitlines() if "issing" in line or "rror" in line][:2]
    return BundleRuntimeError(
        f"the program {what}: {cause}" + ("; " + "; ".join(said) if said else ""),
        where=str(path),
    )
