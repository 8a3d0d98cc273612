"""Deduplicate constants that a program file contains twice.

ExecuTorch stores the constants of kernels in one segment of the file, and each delegate constant
in its own segment. A tied embedding is a constant of a lookup kernel and of a delegate: the same
bytes in both places. Segments are located by offset and size only, so the delegate's segment can
point into the kernels' segment, without any change to the runtime.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from llm_export.compat.program_file import (
    HEADER_AT,
    SEGMENT_ALIGNMENT,
    Segment,
    read_constants,
    read_header,
    read_segments,
)

_SMALLEST = 1 << 12
"""Minimum size in bytes to deduplicate."""


def share_constants(path: Path) -> int:
    """Rewrite the program at ``path`` without duplicate constants; returns the bytes saved.

    The file is replaced only once the new one is complete.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = read_header(data)
        if header is None:
            return 0
        segments, constants = _layout(data)
        base = header.segment_base_offset
        twice = dict(_twice(data, base, segments, constants))
        if not twice:
            return 0
        saved = _write(path, file, data, header, segments, twice)
    return saved


def _layout(data: mmap.mmap) -> tuple[list[Segment], list[tuple[int, int]]]:
    """All segments, and (offset, size) of each constant of the kernels' segment."""
    segments, where = read_segments(data), read_constants(data)
    if where is None:
        return segments, []
    index, starts = where
    home = segments[index]
    ends = [*starts[1:], home.size]
    return segments, [
        (home.offset + s, e - s) for s, e in zip(starts, ends, strict=True) if e - s >= _SMALLEST
    ]


def _twice(
    data: mmap.mmap, base: int, segments: list[Segment], constants: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Index of segment -> offset of a kernel's constant with the same bytes."""
    for index, segment in enumerate(segments):
        if segment.size < _SMALLEST or segment.offset_field < 0:
            continue
        for offset, size in constants:
            # Padding may follow a constant.
            if 0 <= size - segment.size < SEGMENT_ALIGNMENT and _equal(
                data, base + offset, base + segment.offset, segment.size
            ):
                yield index, offset
                break


def _equal(data: mmap.mmap, a: int, b: int, size: int) -> bool:
    step = 1 << 20
    return all(
        data[a + i : a + min(i + step, size)] == data[b + i : b + min(i + step, size)]
        for i in range(0, size, step)
    )


def _write(
    path: Path,
    file: IO[bytes],
    data: mmap.mmap,
    header: Any,
    segments: list[Segment],
    twice: dict[int, int],
) -> int:
    base = header.segment_base_offset
    head = bytearray(data[:base])
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as out:
            out.seek(base)
            for index, segment in enumerate(segments):
                if index in twice:
                    start = twice[index]
                else:
                    start = -(-(out.tell() - base) // SEGMENT_ALIGNMENT) * SEGMENT_ALIGNMENT
                    out.seek(base + start)
                    file.seek(base + segment.offset)
                    _copy(file, out, segment.size)
                if segment.offset_field >= 0:
                    head[segment.offset_field : segment.offset_field + 8] = start.to_bytes(
                        8, "little"
                    )
            header.segment_data_size = out.tell() - base
            head[HEADER_AT : HEADER_AT + header.length] = header.to_bytes()
            out.seek(0)
            out.write(head)
        saved = len(data) - part.stat().st_size
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return saved


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size:
        block = source.read(min(size, 1 << 20))
        if not block:
            raise EOFError("the program ends within a segment")
        target.write(block)
        size -= len(block)
