"""Read the table of a packed bundle: a zip archive whose members lie in it as they are.

``llm-export pack`` writes it. Its first bytes are the tables of the program, so that the archive is
a program file (.pte) too: see ``runtime_py.program_front``. The layout is that of PKWARE's
APPNOTE.TXT 6.3.10; offsets and sizes are in bytes.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime_py.archive_names import collision, leads_out
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded

ALIGNMENT = 16384
"""Of a packed program: the longest page of a device that maps it."""

_MAX_TABLE = 16_000_000
_MAX_MEMBERS = 10_000
_END, _END64, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x03\x04"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _LOCAL_SIZE = 22, 20, 56, 30
_LONGEST_COMMENT = 65_535
_ENCRYPTED = 0x1
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One file. ``start``: where its bytes begin; ``packed``: their number there, and ``size`` the
    number of those that they stand for. ``stored``: these are the same bytes.
    """

    name: str
    start: int
    packed: int
    size: int
    stored: bool


@dataclass(frozen=True)
class Archive:
    """An archive and its files by name; folders are left out."""

    path: Path
    members: dict[str, Member]

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Read and check the table.

        Raises:
            BundleRuntimeError: no zip archive, or damaged; or made to do harm: a member leads out,
                is a link, hides another or shares its bytes.
        """
        fix = "the path of a file that llm-export pack wrote"
        with (
            guarded("the archive cannot be read", where=str(path), fix=fix),
            path.open("rb") as file,
        ):
            end = _table_start(file, path)
            return cls(path, _members(file, _entries(file, path), end, path))

    def blocks(self, member: Member) -> Iterator[bytes]:
        """The bytes of a stored member."""
        with self.path.open("rb") as file:
            file.seek(member.start)
            left = member.size
            while left and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block


def is_archive(path: Path) -> bool:
    """Whether a file ends as the archives of ``llm-export pack``: they have no comment."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END_SIZE))
            return file.read(4) == _END
    except (OSError, ValueError):
        return False


def _table_start(file: IO[bytes], path: Path) -> int:
    """Where the table begins. Its size is checked before anything reads it into memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_SIZE - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise _no_archive(path)
    end = size - len(tail) + at
    length = _number(tail, at + 12, 4)
    long = end - _LOCATOR_SIZE - _END64_SIZE
    if long >= 0:
        file.seek(long)
        record = file.read(_END64_SIZE)
        if record[:4] == _END64:
            end, length = long, max(_number(record, 40, 8), length % 0xFFFFFFFF)
    if length > min(_MAX_TABLE, end):
        raise _harmful("its table is longer than that of any bundle", path)
    return end - length


def _no_archive(path: Path) -> BundleRuntimeError:
    if path.suffix == ".pte":
        return BundleRuntimeError(
            "this is a program alone; a bundle is the folder with its manifest.json",
            where=str(path),
            fix="the folder that llm-export run made; generate, chat, serve and bench take "
            "programs alone, too",
        )
    return BundleRuntimeError(
        "this is no packed bundle: it does not end as a zip archive", where=str(path),
        fix="a folder of llm-export run, or a whole copy of a file of llm-export pack",
    )  # fmt: skip


def _entries(file: IO[bytes], path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(file) as archive:
        found = archive.infolist()
    if len(found) > _MAX_MEMBERS:
        raise _harmful(f"it has more than {_MAX_MEMBERS:,} members", path)
    return found


def _members(
    file: IO[bytes], entries: list[zipfile.ZipInfo], end: int, path: Path
) -> dict[str, Member]:
    members: dict[str, Member] = {}
    free = 0
    for entry in sorted(entries, key=lambda e: e.header_offset):
        _require_plain(entry, path)
        start = _data_start(file, entry, path)
        if entry.header_offset < free or start + entry.compress_size > end:
            raise _harmful(f"members share bytes: {entry.filename[:120]!r}", path)
        free = start + entry.compress_size
        stored = entry.compress_type == zipfile.ZIP_STORED
        if stored and entry.compress_size != entry.file_size:
            raise _harmful(f"a member has two sizes: {entry.filename[:120]!r}", path)
        if entry.filename.endswith("/"):
            continue
        if entry.filename in members:
            raise _harmful(f"two members have one name: {entry.filename[:120]!r}", path)
        members[entry.filename] = Member(
            entry.filename, start, entry.compress_size, entry.file_size, stored
        )
    if (twice := collision(members)) is not None:
        raise _harmful(twice, path)
    return members


def _require_plain(entry: zipfile.ZipInfo, path: Path) -> None:
    if leads_out(entry.filename.rstrip("/")):
        raise _harmful(f"a member's name leads out of the folder: {entry.filename[:120]!r}", path)
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _harmful(f"it holds a link or device: {entry.filename[:120]!r}", path)
    if entry.flag_bits & _ENCRYPTED:
        raise BundleRuntimeError(
            f"the archive is encrypted: {entry.filename[:120]!r}", where=str(path),
            fix="llm-export pack BUNDLE makes one that is not",
        )  # fmt: skip


def _data_start(file: IO[bytes], entry: zipfile.ZipInfo, path: Path) -> int:
    file.seek(entry.header_offset)
    head = file.read(_LOCAL_SIZE)
    if len(head) < _LOCAL_SIZE or head[:4] != _LOCAL:
        raise BundleRuntimeError(
            f"the archive is damaged: {entry.filename[:120]!r} has no header", where=str(path),
            fix="copy it again",
        )  # fmt: skip
    name, extra = struct.unpack("<HH", head[26:30])
    return int(entry.header_offset) + _LOCAL_SIZE + name + extra


def _harmful(what: str, path: Path) -> BundleRuntimeError:
    return BundleRuntimeError(
        f"the archive is not one that a bundle is packed in: {what}", where=str(path),
        fix="do not use an archive that was made like that",
    )  # fmt: skip


def _number(data: bytes, start: int, width: int) -> int:
    return int.from_bytes(data[start : start + width], "little")
