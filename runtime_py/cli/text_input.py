"""Text that a verb reads: of a file, or of standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime_py.errors import ArgumentError


def read_text(name: str | None, prompt: str) -> str:
    """
    Args:
        name: of a file; None or -: standard input.
        prompt: what is read, for who types it.

    Raises:
        ArgumentError: it cannot be read, or is no UTF-8.
    """
    here = name in (None, "-")
    try:
        if name is not None and not here:
            return Path(name).read_text("utf-8")
        if sys.stdin.isatty():
            print(f"{prompt} up to Ctrl-D", file=sys.stderr)
        return sys.stdin.read()
    except OSError as error:
        raise ArgumentError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        what = "standard input" if here else name
        raise ArgumentError(f"{what} is no UTF-8", fix="convert it") from None
