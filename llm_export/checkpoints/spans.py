"""Tensors as byte ranges of files: located by a header, read on demand.

Files are read, not memory-mapped. Mapped pages count as the process's memory while the mapping
exists, so a mapped bfloat16 checkpoint would add its own size to that of the float32 model. With a
mapped float32 checkpoint, parameters would change or fault when the file is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from llm_export.checkpoints.base import TensorInfo
from llm_export.errors import CheckpointError

T = TypeVar("T")


@dataclass(frozen=True)
class Span:
    """Location of one tensor in a file.

    Attributes:
        offset: byte offset of its first element from the start of the file.
        stride: in elements; None if contiguous.
    """

    path: Path
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] | None = None

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.shape, dtype_name(self.dtype))

    @property
    def extent(self) -> int:
        """Number of elements from the first to the last, including gaps."""
        if 0 in self.shape:
            return 0
        if self.stride is None:
            return torch.Size(self.shape).numel()
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))


def read_span(span: Span) -> Tensor:
    """Read the tensor into newly allocated memory.

    Raises:
        CheckpointError: the file ends before the tensor does.
    """
    flat = torch.empty(span.extent, dtype=span.dtype)
    read_into(span.path, span.offset, flat)
    if span.stride is None:
        return flat.reshape(span.shape)
    return flat.as_strided(span.shape, span.stride)


def read_into(path: Path, offset: int, flat: Tensor) -> None:
    """Fill a contiguous tensor with the file's bytes starting at ``offset``.

    Raises:
        CheckpointError: the file ends too early.
    """
    if not flat.numel():
        return
    left = flat.view(torch.uint8).numpy().data
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while left:
            count = file.readinto(left)  # the OS reads at most 2 GiB per call
            if not count:
                raise CheckpointError(
                    f"the file is truncated: {len(left)} bytes of a tensor are missing",
                    where=str(path),
                    fix="fetch it again",
                )
            left = left[count:]


def in_reading_order(spans: Mapping[str, Span]) -> Iterator[tuple[str, Span]]:
    """Sort by file, then by offset."""
    order = {path: i for i, path in enumerate(dict.fromkeys(s.path for s in spans.values()))}
    return iter(sorted(spans.items(), key=lambda item: (order[item[1].path], item[1].offset)))


def dtype_name(dtype: torch.dtype) -> str:
    """float32 -> f32, bfloat16 -> bf16, int8 -> i8."""
    name = str(dtype).removeprefix("torch.")
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i")):
        if name.startswith(long):
            return short + name[len(long) :]
    return name


class ReadOnAccess(Mapping[str, T]):
    """A mapping whose values are read on each access and not cached."""

    def __init__(self, readers: Mapping[str, Callable[[], T]]) -> None:
        self._readers = dict(readers)

    def __getitem__(self, name: str) -> T:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)
