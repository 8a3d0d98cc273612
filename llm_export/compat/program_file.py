"""Places in ExecuTorch's program files (.pte): its header and two tables of its flatbuffer.

ExecuTorch's own generated readers cannot be used: in the wheel they call modules where classes
are meant. So fields are found by their place in a table's vtable, which is 4 + 2 * index of the
field in ``schema/program.fbs``. Written for executorch 1.5.1; a new field changes no place, as
flatbuffers append them.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

SEGMENT_ALIGNMENT = 128
"""Alignment of segments in ExecuTorch's serializer."""

HEADER_AT = 8
"""Position of the extended header: after the root's offset and the file's identifier."""

PROGRAM_SEGMENTS, PROGRAM_CONSTANTS = 12, 14
"""``Program.segments`` and ``Program.constant_segment``."""
SEGMENT_OFFSET, SEGMENT_SIZE = 4, 6
"""``DataSegment.offset`` and ``DataSegment.size``."""
CONSTANTS_SEGMENT, CONSTANTS_OFFSETS = 4, 6
"""``SubsegmentOffsets.segment_index`` and ``SubsegmentOffsets.offsets``."""


@dataclass(frozen=True)
class Segment:
    """A segment: its offset from the start of the segments, and the position of that offset."""

    offset: int
    size: int
    offset_field: int
    """Position of the offset in the file; -1 if it has its default, zero, and is not stored."""


def read_header(data: bytes | mmap.mmap) -> Any:
    """ExecuTorch's ``_ExtendedHeader``; None if the file has no segments."""
    from executorch.exir._serialize._program import _ExtendedHeader

    end = HEADER_AT + _ExtendedHeader.EXPECTED_LENGTH
    found = _ExtendedHeader.from_bytes(data[HEADER_AT:end])
    return found if found.is_valid() and found.segment_base_offset else None


def read_segments(data: bytes | mmap.mmap) -> list[Segment]:
    return [_segment(table) for table in tables(root(data), PROGRAM_SEGMENTS)]


def read_constants(data: bytes | mmap.mmap) -> tuple[int, list[int]] | None:
    """Index of the segment of the kernels' constants, and the offset of each within it; None if
    there is no such segment."""
    where = child(root(data), PROGRAM_CONSTANTS)
    if where is None:
        return None
    index = scalar(where, CONSTANTS_SEGMENT, "Uint32Flags")
    return index, longs(where, CONSTANTS_OFFSETS)


def root(data: bytes | mmap.mmap) -> Any:
    from flatbuffers.table import Table

    return Table(data, int.from_bytes(data[:4], "little"))


def child(table: Any, place: int) -> Any:
    from flatbuffers.table import Table

    found = table.Offset(place)
    return Table(table.Bytes, table.Indirect(table.Pos + found)) if found else None


def tables(table: Any, place: int) -> list[Any]:
    from flatbuffers.table import Table

    found = table.Offset(place)
    if not found:
        return []
    start, count = table.Vector(found), table.VectorLen(found)
    if start + 4 * count > len(table.Bytes):
        raise ValueError("a list of the program does not end within the file")
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]


def longs(table: Any, place: int) -> list[int]:
    found = table.Offset(place)
    if not found:
        return []
    start = table.Vector(found)
    return [
        int.from_bytes(table.Bytes[start + 8 * i : start + 8 * i + 8], "little")
        for i in range(table.VectorLen(found))
    ]


def scalar(table: Any, place: int, flags: str) -> int:
    from flatbuffers import number_types

    found = table.Offset(place)
    return int(table.Get(getattr(number_types, flags), table.Pos + found)) if found else 0


def _segment(table: Any) -> Segment:
    place = table.Offset(SEGMENT_OFFSET)
    return Segment(
        scalar(table, SEGMENT_OFFSET, "Uint64Flags"), scalar(table, SEGMENT_SIZE, "Uint64Flags"),
        table.Pos + place if place else -1,
    )  # fmt: skip
