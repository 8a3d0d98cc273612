"""The memory bandwidth that this machine reaches: the bound of a step that reads all weights."""

from __future__ import annotations

import time

_BYTES = 256 << 20
"""Larger than the caches of most processors."""
_PARTS = 8
"""Each is timed by itself: a shorter read is more often left alone by other processes. Until it is
its turn again, all others have been read."""
_TIMES = 6


def read_bandwidth(threads: int) -> float:
    """Bytes per second of a streaming read (the sum of a part of a large array) by ``threads``
    threads: the best of many, since whatever disturbs one makes it slower. As in STREAM (McCalpin,
    1995), but without writes.
    """
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        parts = torch.ones(_BYTES // 4).chunk(_PARTS)
        best = float("inf")
        for part in parts * _TIMES:
            begin = time.perf_counter()
            part.sum()
            best = min(best, time.perf_counter() - begin)
    finally:
        torch.set_num_threads(former)
    return _BYTES / _PARTS / best
