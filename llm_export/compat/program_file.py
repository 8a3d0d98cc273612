"""Places in ExecuTorch's program files (.pte): its header and two tables of its flatbuffer,
``schema/program.fbs``. Written for executorch 1.5.1.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

from llm_export.compat.flatbuffer import child, numbers, root, scalar, tables

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
    return index, numbers(where, CONSTANTS_OFFSETS, 8)


def _segment(table: Any) -> Segment:
    place = table.Offset(SEGMENT_OFFSET)
    return Segment(
        scalar(table, SEGMENT_OFFSET, "Uint64Flags"), scalar(table, SEGMENT_SIZE, "Uint64Flags"),
        table.Pos + place if place else -1,
    )  # fmt: skip
