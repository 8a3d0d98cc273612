"""What a GGUF file's header claims, held against the file's size before a reader believes it.

The ``gguf`` package makes an array per element, as many as the header says, before it looks whether
the file holds them. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the value types with a fixed size."""
_STRING, _ARRAY = 8, 9
_LEAST_FIELD = 13  # bytes: an empty key, a type, a value of one byte
_LEAST_TENSOR = 24  # bytes: an empty name, no dimensions, a type, an offset
MAX_ENTRIES = 1 << 16
"""Fields, and tensors; the largest models have a few thousand tensors."""
MAX_ELEMENTS = 1 << 23
"""Elements of all arrays; a vocabulary has three arrays of up to 300,000 tokens, and merges."""
MAX_DEPTH = 4
MAX_DIMS = 4
MAX_STRING = 1 << 24  # bytes; chat templates are the longest


class _Header:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._order = "<"
        self._elements = 0

    def check(self) -> None:
        self._file.seek(4)
        if self._take("I") & 0xFFFF == 0:  # the version, in the other byte order
            self._order = ">"
        tensors, fields = self._take("QQ"), self._last
        self._require(tensors, _LEAST_TENSOR, "tensors", MAX_ENTRIES)
        self._require(fields, _LEAST_FIELD, "fields", MAX_ENTRIES)
        for _ in range(fields):
            self._skip_string()
            self._skip_value(self._take("I"), 0)
        for _ in range(tensors):
            self._skip_string()
            dims = self._take("I")
            self._require(dims, 8, "dimensions", MAX_DIMS)
            self._take(f"{dims}QIQ")

    def _take(self, form: str) -> int:
        """The first of some numbers; the last one is kept in ``_last``."""
        count = struct.calcsize(f"<{form}")
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("the header ends early")
        values = struct.unpack(self._order + form, data)
        self._last = int(values[-1])
        return int(values[0])

    def _require(self, count: int, least: int, what: str, most: int) -> None:
        """Whether ``count`` of something that takes ``least`` bytes each can follow."""
        left = self._size - self._file.tell()
        if count * least > left or count > most:
            raise ValueError(f"its header claims {count} {what}, with {left} bytes left")

    def _skip_string(self) -> None:
        length = self._take("Q")
        self._require(length, 1, "characters", MAX_STRING)
        self._file.seek(length, 1)

    def _skip_value(self, kind: int, depth: int) -> None:
        if kind in _SIZES:
            self._skip(1, _SIZES[kind])
        elif kind == _STRING:
            self._skip_string()
        elif kind == _ARRAY and depth < MAX_DEPTH:
            self._skip_array(depth + 1)
        else:
            raise ValueError(f"a value of the type {kind}, {depth} arrays deep")

    def _skip_array(self, depth: int) -> None:
        kind, count = self._take("IQ"), self._last
        least = _SIZES.get(kind, 8 if kind == _STRING else 12)
        self._require(count, least, "elements", MAX_ELEMENTS - self._elements)
        self._elements += count
        if kind in _SIZES:
            self._skip(count, _SIZES[kind])
            return
        for _ in range(count):
            self._skip_value(kind, depth)

    def _skip(self, count: int, size: int) -> None:
        self._require(count, size, "elements", MAX_ELEMENTS)
        self._file.seek(count * size, 1)


def check_claims(path: Path) -> None:
    """Walk the header, without keeping any of it.

    Raises:
        ValueError: it claims more than the file holds, or than any model needs.
    """
    with path.open("rb") as file:
        _Header(file, path.stat().st_size).check()
