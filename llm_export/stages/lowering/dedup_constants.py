"""Store once what a program holds twice.

ExecuTorch keeps the constants of kernels in one segment of the file, and every constant of a
delegate in a segment of its own. A tied embedding is the table of a kernel and the matrix of a
delegate: the same bytes in both places. Segments are found by offset and size alone, so the
delegate's may lie within the kernels' segment; nothing of the runtime need know.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_ALIGNMENT = 128
"""Where segments begin, as ExecuTorch's serializer has it."""
_SMALLEST = 1 << 12
"""Bytes that are worth it."""


@dataclass(frozen=True)
class _Segment:
    """A segment, from the start of the segments, and where the program says so."""

    offset: int
    size: int
    offset_field: int
    """Position of the offset in the file."""


def share_constants(path: Path) -> int:
    """Rewrite the program at ``path`` without what it holds twice; returns the bytes saved.

    The file is replaced only when the new one is whole.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _header(data)
        if header is None:
            return 0
        segments, constants = _layout(data)
        base = header.segment_base_offset
        twice = dict(_twice(data, base, segments, constants))
        if not twice:
            return 0
        saved = _write(path, file, data, header, segments, twice)
    return saved


def _header(data: mmap.mmap) -> Any:
    from executorch.exir._serialize._program import _ExtendedHeader

    found = _ExtendedHeader.from_bytes(data[8 : 8 + _ExtendedHeader.EXPECTED_LENGTH])
    return found if found.is_valid() and found.segment_base_offset else None


def _layout(data: mmap.mmap) -> tuple[list[_Segment], list[tuple[int, int]]]:
    """All segments, and (offset, size) of each constant of the kernels' segment."""
    program = _root(data)
    segments = [_segment(table) for table in _tables(program, _PROGRAM_SEGMENTS)]
    where = _child(program, _PROGRAM_CONSTANTS)
    if where is None:
        return segments, []
    home = segments[_scalar(where, 4, "Uint32Flags")]
    starts = _longs(where, 6)
    ends = [*starts[1:], home.size]
    return segments, [
        (home.offset + s, e - s) for s, e in zip(starts, ends, strict=True) if e - s >= _SMALLEST
    ]


# Places in the vtables of schema/program.fbs: 4 + 2 * index of the field. ExecuTorch's own
# generated readers cannot be used: in the wheel they call modules where classes are meant.
_PROGRAM_SEGMENTS, _PROGRAM_CONSTANTS = 12, 14


def _root(data: mmap.mmap) -> Any:
    from flatbuffers.table import Table

    return Table(data, int.from_bytes(data[:4], "little"))


def _child(table: Any, place: int) -> Any:
    from flatbuffers.table import Table

    found = table.Offset(place)
    return Table(table.Bytes, table.Indirect(table.Pos + found)) if found else None


def _tables(table: Any, place: int) -> list[Any]:
    from flatbuffers.table import Table

    found = table.Offset(place)
    if not found:
        return []
    start = table.Vector(found)
    return [
        Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(found))
    ]


def _longs(table: Any, place: int) -> list[int]:
    found = table.Offset(place)
    if not found:
        return []
    start = table.Vector(found)
    return [
        int.from_bytes(table.Bytes[start + 8 * i : start + 8 * i + 8], "little")
        for i in range(table.VectorLen(found))
    ]


def _scalar(table: Any, place: int, flags: str) -> int:
    from flatbuffers import number_types

    found = table.Offset(place)
    return int(table.Get(getattr(number_types, flags), table.Pos + found)) if found else 0


def _segment(table: Any) -> _Segment:
    place = table.Offset(4)
    return _Segment(
        _scalar(table, 4, "Uint64Flags"), _scalar(table, 6, "Uint64Flags"),
        table.Pos + place if place else -1,
    )  # fmt: skip


def _twice(
    data: mmap.mmap, base: int, segments: list[_Segment], constants: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Index of segment -> offset of a kernel's constant of the same bytes."""
    for index, segment in enumerate(segments):
        if segment.size < _SMALLEST or segment.offset_field < 0:
            continue
        for offset, size in constants:
            # Padding may follow a constant.
            if 0 <= size - segment.size < _ALIGNMENT and _equal(
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
    segments: list[_Segment],
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
                    start = -(-(out.tell() - base) // _ALIGNMENT) * _ALIGNMENT
                    out.seek(base + start)
                    file.seek(base + segment.offset)
                    _copy(file, out, segment.size)
                if segment.offset_field >= 0:
                    head[segment.offset_field : segment.offset_field + 8] = start.to_bytes(
                        8, "little"
                    )
            header.segment_data_size = out.tell() - base
            head[8 : 8 + header.length] = header.to_bytes()
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
