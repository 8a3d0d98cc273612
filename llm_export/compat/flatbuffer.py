"""Read tables of a flatbuffer by the places of their fields.

The generated readers of executorch 1.5.1 cannot be used: in the wheel they call modules where
classes are meant. So fields are found by their place in a table's vtable, which is 4 + 2 * index
of the field in the schema; a new field changes no place, as flatbuffers append them.
"""

from __future__ import annotations

import mmap
from typing import Any

MOST = 1_000_000
"""Entries of a vector that is read: damaged files claim more."""


def root(data: bytes | mmap.mmap) -> Any:
    from flatbuffers.table import Table

    return Table(data, int.from_bytes(data[:4], "little"))


def child(table: Any, place: int) -> Any:
    """The table in a field; None if there is none."""
    from flatbuffers.table import Table

    found = table.Offset(place)
    return Table(table.Bytes, table.Indirect(table.Pos + found)) if found else None


def union(table: Any, place: int) -> Any:
    """The table in a field of a union; None if there is none."""
    from flatbuffers import number_types
    from flatbuffers.table import Table

    found = table.Offset(place)
    if not found:
        return None
    at = table.Pos + found
    return Table(table.Bytes, at + table.Get(number_types.UOffsetTFlags, at))


def tables(table: Any, place: int) -> list[Any]:
    from flatbuffers.table import Table

    start, count = _vector(table, place)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]


def table_at(table: Any, place: int, index: int) -> Any:
    """One table of a vector of them.

    Raises:
        IndexError: there is none at ``index``.
    """
    from flatbuffers.table import Table

    start, count = _vector(table, place)
    if not 0 <= index < count:
        raise IndexError(f"{index} of {count}")
    return Table(table.Bytes, table.Indirect(start + 4 * index))


def numbers(table: Any, place: int, width: int, *, signed: bool = False) -> list[int]:
    """A vector of whole numbers of ``width`` bytes each."""
    start, count = _vector(table, place)
    data = bytes(table.Bytes[start : start + width * count])
    return [
        int.from_bytes(data[at : at + width], "little", signed=signed)
        for at in range(0, width * count, width)
    ]


def scalar(table: Any, place: int, flags: str) -> Any:
    """A number; 0 if the field is not stored. ``flags``: its type in flatbuffers.number_types."""
    from flatbuffers import number_types

    found = table.Offset(place)
    return table.Get(getattr(number_types, flags), table.Pos + found) if found else 0


def string(table: Any, place: int) -> str:
    """A text; '' if the field is not stored."""
    found = table.Offset(place)
    return bytes(table.String(table.Pos + found)).decode() if found else ""


def _vector(table: Any, place: int) -> tuple[int, int]:
    """(position of the first entry, number of entries)."""
    found = table.Offset(place)
    if not found:
        return 0, 0
    start, count = table.Vector(found), table.VectorLen(found)
    if count > MOST:
        raise ValueError(f"a list of {count} entries")
    return start, count
