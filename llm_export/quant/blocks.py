"""Work through a matrix in blocks of rows.

Temporaries of a block stay in a core's cache, where those of a whole matrix go back to the
system with each operation. Blocks are spread over threads of one core each: operations this
small, each spread over all cores, spend more time on waiting for each other than on work.
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
"""Of a block, at most."""
_HELD = 64
"""Blocks that may be in memory of a weight that is paged."""


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Rows of a matrix in turn, a few at a time."""
    step = max(1, _VALUES // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def each_block(weight: Tensor, find: Callable[[slice], T | None]) -> list[T] | None:
    """What ``find`` gives for each block of rows, in order; None if it is None for one, and then
    mostly without asking for the others."""
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
    # The setting is of the thread that makes it.
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


@contextmanager
def one_thread() -> Iterator[None]:
    """While it is open, this thread's operations are not spread over others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
