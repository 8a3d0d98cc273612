"""Memory-map large tensors, so that a model need not fit into memory.

A float32 model takes four bytes per parameter, and an export uses it one layer at a time. While
``memory_mapping`` is open and the model is large, its tensors are memory-mapped to unlinked
files: the operating system writes them out when it needs the memory, ``release`` drops them from
resident memory at once, and the next access reads them again. Each file disappears with its
tensor, even if the process is killed.
"""

from __future__ import annotations

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

from runtime_py.heap import malloc_trim

_ABOVE = 1 << 30
"""Models larger than this many bytes are memory-mapped."""
_AT_LEAST = 1 << 20
"""Only tensors of at least this many bytes are memory-mapped."""
_STEP = 1 << 26
"""Resident memory is released after this many bytes were written."""
_WORTH = 1 << 26
"""Collecting garbage takes as long as lowering a layer: it is done for this many bytes or more."""


@dataclass
class _Pages:
    folder: Path
    above: int
    at_least: int
    active: bool = False
    maps: WeakSet[mmap.mmap] = field(default_factory=WeakSet)


_open: list[_Pages] = []
_after_release: int | None = None
"""The least resident memory that the process was seen with since memory was last released."""


@contextmanager
def memory_mapping(
    folder: Path, *, above: int = _ABOVE, at_least: int = _AT_LEAST
) -> Iterator[None]:
    """Context manager: memory-map models of more than ``above`` bytes to files in ``folder``."""
    pages = _Pages(folder, above, at_least)
    _open.append(pages)
    try:
        yield
    finally:
        # Interleaved runs (``api.steps``) need not end in the order in which they began.
        _open[:] = [other for other in _open if other is not pages]


def enable_for(model_bytes: int) -> None:
    """Enable memory mapping if a model of this many bytes, about to be loaded, is large enough."""
    if _open and model_bytes > _open[-1].above and hasattr(mmap, "MADV_DONTNEED"):
        _open[-1].active = True


def is_active() -> bool:
    return bool(_open) and _open[-1].active


def memory_mapped(tensor: Tensor) -> Tensor:
    """Copy a tensor to a memory-mapped file. Small tensors, and all tensors while memory mapping
    is off, are returned unchanged.

    Raises:
        OSError: the disk is full.
    """
    size = tensor.numel() * tensor.element_size()
    if not is_active() or size < _open[-1].at_least:
        return tensor
    pages = _open[-1]
    with tempfile.TemporaryFile(dir=pages.folder) as file:
        # Reserve the disk space: writing to a mapped file on a full disk kills the process.
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
    """Return unused memory to the system: collect garbage (graphs contain reference cycles), then
    trim the C heap. This is slow, so it is done only while models are memory-mapped, unless
    ``always``."""
    if not (always or is_active()):
        return
    global _after_release
    release()
    gc.collect()
    malloc_trim()
    _after_release = _resident()


def release_grown() -> None:
    """``release_memory``, if models are memory-mapped or the process has grown since the last time
    by as much as is worth the time."""
    global _after_release
    now, small = _resident(), False
    if now is not None and _after_release is not None:
        small = now < _after_release + _WORTH
        # What was freed meanwhile is no room for garbage.
        _after_release = min(now, _after_release)
    release_memory(always=not small)


def _resident() -> int | None:
    """Bytes of this process in memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * mmap.PAGESIZE


@contextmanager
def released_between(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Context manager: after each call of one of these modules, drop its tensors from resident
    memory."""
    if not is_active():
        yield
        return
    hooks = [module.register_forward_hook(lambda *_: release()) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
