"""Say on a terminal what a verb is busy with before it has something to print."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show ``what`` on standard error while the block runs; nothing where that is no terminal."""
    person = sys.stderr.isatty()
    if person:
        print(f"{what} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if person:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # clear the line
