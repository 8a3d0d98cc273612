"""The C library's heap."""

from __future__ import annotations

import contextlib
import ctypes


def malloc_trim() -> None:
    """Return freed heap memory to the system. glibc keeps freed blocks of up to 32 MiB in its heap;
    with other C libraries this does nothing."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # TypeError: Windows
        ctypes.CDLL(None).malloc_trim(0)
