"""Token ids as bytes whose order is that of the ids."""

from __future__ import annotations

import struct
from collections.abc import Sequence

WIDTH = 4
"""Bytes of a token, big-endian."""


def packed(tokens: Sequence[int]) -> bytes:
    return struct.pack(f">{len(tokens)}I", *tokens)


def unpacked(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // WIDTH}I", data)


def common(a: bytes, b: bytes) -> int:
    """Number of tokens at the beginning that are the same."""
    most = min(len(a), len(b)) // WIDTH
    if a[: most * WIDTH] == b[: most * WIDTH]:
        return most
    low, high = 0, most  # the first ``low`` are the same, the first ``high`` are not
    while high - low > 1:
        middle = (low + high) // 2
        if a[low * WIDTH : middle * WIDTH] == b[low * WIDTH : middle * WIDTH]:
            low = middle
        else:
            high = middle
    return low
