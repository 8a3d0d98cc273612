"""Check the head of a program file (.pte) before ExecuTorch reads it.

ExecuTorch ends the process for some damaged heads. The layout is that of ExecuTorch 1.5: a
flatbuffer with the file identifier ET12, and in it the extended header of
its ``schema/extended_header.h``, with sizes and offsets in bytes, little-endian.
"""

from __future__ import annotations

from pathlib import Path

from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded

_IDENTIFIER, _MAGIC = b"ET12", b"eh00"
_SHORT, _LONG = 24, 32
"""Lengths of the extended header, without and with the size of the segments."""


def check_program_header(path: Path) -> None:
    """Raises BundleRuntimeError if the file is no program, or cut off."""
    with guarded("the program cannot be read", where=str(path)), path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(8 + _LONG)
    problem = _problem(head, size)
    if problem is not None:
        raise BundleRuntimeError(
            f"the program is damaged: {problem}", where=str(path),
            fix="copy or export the bundle again",
        )  # fmt: skip


def _problem(head: bytes, size: int) -> str | None:
    if len(head) < 8 + _LONG or head[4:8] != _IDENTIFIER:
        return "it does not begin as an ExecuTorch program"
    if head[8:12] != _MAGIC or _number(head, 12, 4) < _SHORT:
        return "it has no extended header"
    program, base = _number(head, 16), _number(head, 24)
    segments = _number(head, 32) if _number(head, 12, 4) >= _LONG else 0
    if not _number(head, 0, 4) < program <= size:
        return f"its tables do not lie within its {size:,} bytes"
    if base and not program <= base <= base + segments <= size:
        return f"its segments do not lie within its {size:,} bytes"
    return None


def _number(head: bytes, start: int, width: int = 8) -> int:
    return int.from_bytes(head[start : start + width], "little")
