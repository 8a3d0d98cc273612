"""Read tables of a flatbuffer by the places of their fields.

The generated readers of executorch 1.5.1 cannot be used: in the wheel they call modules where
classes are meant. So fields are found by their place in a table's vtable, which is 4 + 2 * index
of the field in the schema; a new field changes no place, as flatbuffers append them.
"""

from __future__ import annotations

import functools
import mmap
from typing import Any

MOST = 1_000_000
"""Entries of all vectors that are read below one root: damaged files claim more, and in hostile
ones few bytes stand for many, as tables may share what they hold."""

_TEXT = 64
"""Bytes of a text that cost as much as an entry."""


def root(data: bytes | mmap.mmap) -> Any:
    return _of(data, int.from_bytes(data[:4], "little"), [MOST])


def child(table: Any, place: int) -> Any:
    """The table in a field, also of a union; None if there is none."""
    found = table.Offset(place)
    return _at(table, table.Indirect(table.Pos + found)) if found else None


def tables(table: Any, place: int) -> list[Any]:
    start, count = _vector(table, place)
    _spend(table, count)
    return [_at(table, table.Indirect(start + 4 * i)) for i in range(count)]


def table_at(table: Any, place: int, index: int) -> Any:
    """One table of a vector of them.

    Raises:
        IndexError: there is none at ``index``.
    """
    start, count = _vector(table, place)
    if not 0 <= index < count:
        raise IndexError(f"{index} of {count}")
    return _at(table, table.Indirect(start + 4 * index))


def numbers(table: Any, place: int, width: int, *, signed: bool = False) -> list[int]:
    """A vector of whole numbers of ``width`` bytes each."""
    start, count = _vector(table, place)
    _spend(table, count)
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
    if not found:
        return ""
    text = bytes(table.String(table.Pos + found))
    _spend(table, len(text) // _TEXT)
    return text.decode()


def _vector(table: Any, place: int) -> tuple[int, int]:
    """(position of the first entry, number of entries)."""
    found = table.Offset(place)
    if not found:
        return 0, 0
    return table.Vector(found), table.VectorLen(found)


def _of(data: bytes | mmap.mmap, position: int, left: list[int]) -> Any:
    """A table; ``left`` of the entries is common to all that are found from it."""
    found = _kind()(data, position)
    found.left = left
    return found


def _at(table: Any, position: int) -> Any:
    return _of(table.Bytes, position, table.left)


def _spend(table: Any, entries: int) -> None:
    table.left[0] -= entries
    if table.left[0] < 0:
        raise ValueError(f"more than {MOST:,} entries of lists")


@functools.cache
def _kind() -> type:
    from flatbuffers.table import Table

    return type("BoundedTable", (Table,), {"__slots__": ("left",)})
