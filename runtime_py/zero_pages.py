"""Memory of zeros that takes up memory only where it has been written.

ExecuTorch writes zeros to a program's whole memory when it opens the file, so KV caches are
resident for their whole context and activations for the longest step, however short the text.
``madvise(MADV_DONTNEED)`` releases pages of private anonymous memory: they read as zeros, and
become resident again when they are written (madvise(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ABLE = sys.platform.startswith("linux")
"""Only Linux guarantees that pages read as zeros after MADV_DONTNEED."""
_MAPS = Path("/proc/self/maps")
_PAGE = mmap.PAGESIZE
_BLOCK = 64 * _PAGE
"""Bytes that are tested at once. What is not all zeros stays."""
_WORD, _OWN_MAPPING, _FLAGS = ctypes.sizeof(ctypes.c_size_t), 2, 7


def release_zero_pages(tensors: Sequence[Tensor]) -> int:
    """Release the pages that hold only zeros: of these tensors, and of the block of memory that
    they were allocated in. On systems other than Linux this does nothing.

    Args:
        tensors: on a program's memory, which nothing writes to meanwhile.

    Returns:
        the bytes of the pages.
    """
    total = 0
    if not _ABLE:
        return total
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for start, stop in _extents(tensors):
            first, last = -(-start // _PAGE) * _PAGE, stop // _PAGE * _PAGE
            for place in range(first, last, _BLOCK):
                size = min(_BLOCK, last - place)
                if not _is_resident(libc, place, size) or not _is_zero(libc, place, size):
                    continue
                if not libc.madvise(
                    ctypes.c_void_p(place), ctypes.c_size_t(size), mmap.MADV_DONTNEED
                ):
                    total += size
    return total


def zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """As ``torch.zeros``, but resident only where it has been written."""
    import torch

    size = math.prod(shape) * dtype.itemsize
    if not _ABLE or size < _BLOCK:
        return torch.zeros(tuple(shape), dtype=dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=dtype).view(tuple(shape))


def _extents(tensors: Sequence[Tensor]) -> Iterator[tuple[int, int]]:
    """(first address, end) of the blocks that the tensors lie in, or else of the tensors. Those in
    other memory are left out: pages of a file that were changed would hold the file's bytes again.
    """
    own = sorted((t.data_ptr(), t.data_ptr() + t.nbytes) for t in tensors if t.is_contiguous())
    mappings, done = list(_anonymous()), 0
    for start, stop in own:
        around = next((m for m in mappings if m.first <= start and stop <= m.end), None)
        if around is None or start < done:
            continue
        block = None if around.is_heap else _block(start, around)
        start, done = (start, stop) if block is None or block[1] < stop else block
        yield start, done


class _Mapping(NamedTuple):
    """From address ``first`` to before ``end``; of the heap blocks lie among others' data."""

    first: int
    end: int
    is_heap: bool


def _anonymous() -> Iterator[_Mapping]:
    """Private mappings of memory that can be written and is of no file."""
    for line in _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        place, access, _, _, inode, *name = line.split(maxsplit=5)
        if access == "rw-p" and inode == "0":
            first, end = (int(part, 16) for part in place.split("-"))
            yield _Mapping(first, end, is_heap=bool(name))


def _block(inner: int, mapping: _Mapping) -> tuple[int, int] | None:
    """The block that glibc's malloc has mapped for itself around an address, all zeros up to there.
    Before it, at the start of a page, lie a word and its size, whose low bits say that it is mapped
    (malloc.c: ``malloc_chunk``).
    """
    for page in range(inner // _PAGE * _PAGE, mapping.first - 1, -_PAGE):
        word = ctypes.c_size_t.from_address(page + _WORD).value
        if not word:
            continue
        size = word & ~_FLAGS
        fits = word & _FLAGS == _OWN_MAPPING and not size % _PAGE and page + size <= mapping.end
        fits = fits and not ctypes.c_size_t.from_address(page).value
        return (page + 2 * _WORD, page + size) if fits and inner < page + size else None
    return None


def _is_resident(libc: ctypes.CDLL, place: int, size: int) -> bool:
    """Whether any page is; true where the system does not tell."""
    told = (ctypes.c_ubyte * (size // _PAGE))()
    failed = libc.mincore(ctypes.c_void_p(place), ctypes.c_size_t(size), told)
    return bool(failed) or any(page & 1 for page in told)


def _is_zero(libc: ctypes.CDLL, place: int, size: int) -> bool:
    """Whether the first byte is zero and each other one is like that before it."""
    if ctypes.c_ubyte.from_address(place).value:
        return False
    return not libc.memcmp(
        ctypes.c_void_p(place), ctypes.c_void_p(place + 1), ctypes.c_size_t(size - 1)
    )
