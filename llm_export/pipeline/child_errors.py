"""Why a command of this program failed in a process of its own."""

from __future__ import annotations


def reason_of(stderr: str) -> str:
    """The error without its fix, or else the last line."""
    lines = stderr.strip().splitlines() or ["no message"]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines)[-1]
