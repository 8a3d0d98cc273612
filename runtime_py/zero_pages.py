"""Memory of zeros that takes up memory only where it has been written.

ExecuTorch writes zeros to a program's whole memory when it loads the file, so KV caches are
resident for their whole context, however short the text. Anonymous memory whose pages were
given back to the system reads as zeros, and a page becomes resident when it is first written.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

_ABLE = sys.platform.startswith("linux")
"""Elsewhere pages that were given back need not read as zeros."""
_AT_LEAST = 1 << 16


def give_back_zeros(tensors: Sequence[Tensor]) -> int:
    """Give the pages back to the system that lie wholly within one of these tensors, if all are
    zeros. Nothing may write to the tensors meanwhile, and their memory must be anonymous and
    private. On systems other than Linux this does nothing.

    Returns:
        the bytes of the pages.
    """
    total = 0
    if not _ABLE:
        return total
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        for tensor in tensors:
            first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
            stop = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
            if first >= stop or not tensor.is_contiguous() or not _is_zero(libc, first, stop):
                continue
            size = stop - first
            if not libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), mmap.MADV_DONTNEED):
                total += size
    return total


def _is_zero(libc: ctypes.CDLL, first: int, stop: int) -> bool:
    """Whether the first byte of a memory is zero and each other one is like that before it."""
    if ctypes.c_ubyte.from_address(first).value:
        return False
    rest = ctypes.c_size_t(stop - first - 1)
    return not libc.memcmp(ctypes.c_void_p(first), ctypes.c_void_p(first + 1), rest)


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """As ``torch.zeros``, but resident only where it has been written."""
    size = math.prod(shape) * dtype.itemsize
    if not _ABLE or size < _AT_LEAST:
        return torch.zeros(tuple(shape), dtype=dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=dtype).view(tuple(shape))
