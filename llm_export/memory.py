"""Large tensors in files, so that a model need not fit into memory.

A model in float32 takes four bytes a parameter, and an export touches it one layer at a time.
While ``memory_mapping`` is open and the model is large, its tensors are memory-mapped to unlinked
files: the system writes them out when it needs the memory, ``release`` drops them from resident
memory at once, and the next access reads them again. Each file is removed with its tensor, even
if the process is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import torch
from torch import Tensor, nn

_ABOVE = 1 << 30
"""Bytes of a model that is memory-mapped."""
_AT_LEAST = 1 << 20
"""Bytes of a tensor that is worth a file."""
_STEP = 1 << 26
"""Bytes that are written before they are taken out of the process again."""


@dataclass
class _Pages:
    folder: Path
    above: int
    at_least: int
    active: bool = False
    maps: WeakSet[mmap.mmap] = field(default_factory=WeakSet)


_open: list[_Pages] = []


@contextmanager
def memory_mapping(
    folder: Path, *, above: int = _ABOVE, at_least: int = _AT_LEAST
) -> Iterator[None]:
    """While it is open, models of more than ``above`` bytes are mapped to files in ``folder``."""
    pages = _Pages(folder, above, at_least)
    _open.append(pages)
    try:
        yield
    finally:
        # Runs that are taken step by step need not end in the order in which they began.
        _open[:] = [other for other in _open if other is not pages]


def enable_for(model_bytes: int) -> None:
    """A model of this many bytes is about to be filled."""
    if _open and model_bytes > _open[-1].above and hasattr(mmap, "MADV_DONTNEED"):
        _open[-1].active = True


def is_active() -> bool:
    return bool(_open) and _open[-1].active


def memory_mapped(tensor: Tensor) -> Tensor:
    """The same values where the system can write them out; small tensors, and all while nothing
    is memory-mapped, as they are.

    Raises:
        OSError: the disk is full.
    """
    size = tensor.numel() * tensor.element_size()
    if not is_active() or size < _open[-1].at_least:
        return tensor
    pages = _open[-1]
    with tempfile.TemporaryFile(dir=pages.folder) as file:
        # Reserved: a mapped file that cannot grow would end the process.
        os.posix_fallocate(file.fileno(), 0, size)
        mapped = mmap.mmap(file.fileno(), size)
    pages.maps.add(mapped)
    made = torch.frombuffer(mapped, dtype=tensor.dtype)
    values = tensor.detach().reshape(-1)
    step = _STEP // tensor.element_size()
    for start in range(0, len(made), step):
        made[start : start + step] = values[start : start + step]
        mapped.madvise(mmap.MADV_DONTNEED)
    return made.view(tensor.shape)


def release() -> None:
    """Drop memory-mapped tensors from resident memory; the next access reads them again."""
    if is_active():
        for mapped in list(_open[-1].maps):
            mapped.madvise(mmap.MADV_DONTNEED)


def release_memory(*, always: bool = False) -> None:
    """Give memory that nothing uses any more back to the system: graphs refer to themselves, and
    the C library keeps what was freed. That takes a while, so unless ``always`` it is done only
    where models are memory-mapped."""
    if not (always or is_active()):
        return
    release()
    gc.collect()
    malloc_trim()


def malloc_trim() -> None:
    """Hand what the C library keeps of freed memory to the system: blocks below 32 MiB lie in a
    heap that grows by them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's


@contextmanager
def released_between(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While it is open, each of these modules is released once it has been called."""
    if not is_active():
        yield
        return
    hooks = [module.register_forward_hook(lambda *_: release()) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
