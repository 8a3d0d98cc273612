"""The memory bandwidth that this machine reaches: the bound of a step that reads all weights."""

from __future__ import annotations

import time

_BYTES = 256 << 20
"""Larger than the caches of most processors."""
_TIMES = 12


def read_bandwidth(threads: int) -> float:
    """Bytes per second of a streaming read (the sum of a large array) by ``threads`` threads: the
    best of a dozen, since whatever disturbs one makes it slower. As in STREAM (McCalpin, 1995), but
    without writes.
    """
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        array = torch.ones(_BYTES // 4)
        best = float("inf")
        for _ in range(_TIMES):
            begin = time.perf_counter()
            array.sum()
            best = min(best, time.perf_counter() - begin)
    finally:
        torch.set_num_threads(former)
    return _BYTES / best
