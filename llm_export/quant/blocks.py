"""Process a weight in blocks of rows.

A block's temporaries fit in a core's cache, while those of a whole weight are allocated and freed
with each operation. Blocks are distributed over single-core threads: parallelizing each of these
small operations would spend more time on synchronization than on work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from llm_export.memory import release

T = TypeVar("T")

_VALUES = 1 << 18
"""Maximum values per block."""
_HELD = 64
"""Number of blocks of a memory-mapped weight that may be in memory."""


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield the rows of a weight, a few at a time."""
    step = max(1, _VALUES // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def each_block(weight: Tensor, find: Callable[[slice], T | None]) -> list[T] | None:
    """Apply ``find`` to each block of rows, in order. Returns None if it is None for any block,
    usually without processing the others.
    """
    first, *rest = row_blocks(*weight.shape)
    with one_thread():
        begun = find(first)
    if begun is None:
        return None
    found = [begun]
    for number, one in enumerate(_pool(torch.get_num_threads()).map(find, rest)):
        if one is None:
            return None
        found.append(one)
        if number % _HELD == 0:
            release()
    return found


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    # The setting is per thread.
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which this thread's operations run on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
