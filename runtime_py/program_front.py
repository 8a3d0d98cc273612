"""The front of a packed bundle, which makes the archive a program file.

A program file (.pte) has its tables, a flatbuffer, at the start, and in their head the place where
its segments begin (``runtime_py.program_header``). ExecuTorch reads the tables at the start of a
file and everything else at offsets from that place, and minds no bytes behind them
(``Program::load`` of ``runtime/executor/program.cpp``, 1.5). A copy of the tables at the start of
the archive, whose head tells where the segments lie in the packed program, is all that it needs: it
maps the weights where they are, by the path of the archive.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from runtime_py.archive import ALIGNMENT, Archive, Member
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded

HEAD = 40
"""Bytes of a file that tell where its tables and segments lie."""

_SIZE_AT, _BASE_AT = 16, 24
_BLOCK = 1 << 20
_FIX = "llm-export unpack FILE FOLDER, then llm-export pack FOLDER"


def tables_size(head: bytes) -> int:
    """Bytes of a program's tables, by its checked head of 40 bytes."""
    return int.from_bytes(head[_SIZE_AT:_BASE_AT], "little")


def moved_head(head: bytes, start: int) -> bytes:
    """The head of a program of which ``start`` bytes lie before its segments' former place.

    A program without segments keeps its head.
    """
    base = int.from_bytes(head[_BASE_AT : _BASE_AT + 8], "little")
    moved = (base + start if base else 0).to_bytes(8, "little")
    return head[:_BASE_AT] + moved + head[_BASE_AT + 8 : HEAD]


def require_mapped(archive: Archive, member: Member) -> None:
    """Make sure that ExecuTorch finds the packed program by the path of the archive.

    Raises:
        BundleRuntimeError: it is compressed, not aligned, or not the one at the front.
    """
    why = None
    if not member.stored:
        why = "the program is compressed"
    elif member.start % ALIGNMENT:
        why = f"the program begins at byte {member.start:,}, which is no multiple of {ALIGNMENT:,}"
    else:
        with guarded("the archive cannot be read", where=str(archive.path)):
            if not _same_tables(archive.path, member):
                why = "it does not begin with the tables of its program"
    if why is not None:
        raise BundleRuntimeError(
            f"the archive cannot be loaded as it is: {why}", where=str(archive.path), fix=_FIX
        )


def _same_tables(path: Path, member: Member) -> bool:
    with path.open("rb") as front, path.open("rb") as program:
        program.seek(member.start)
        head = program.read(HEAD)
        left = tables_size(head) - HEAD
        if not 0 <= left <= member.size or len(head) < HEAD:
            return False
        return front.read(HEAD) == moved_head(head, member.start) and _equal(front, program, left)


def _equal(one: IO[bytes], other: IO[bytes], left: int) -> bool:
    while left:
        block = one.read(min(left, _BLOCK))
        if not block or block != other.read(len(block)):
            return False
        left -= len(block)
    return True
