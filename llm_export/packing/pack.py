"""Pack a bundle in one file, which runtimes open as it is.

The file is a zip archive without compression. In front of its first member, the program, lie the
program's tables, with the place of the segments in the archive (``runtime_py.program_front``). The
program begins at a multiple of 16,384 bytes, every other file at a multiple of 64.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llm_export.errors import BundleError, InputError
from llm_export.files import replacing
from llm_export.output.place import Named, file_to_write
from llm_export.packing.etm import METADATA, metadata_json
from runtime_py.archive import ALIGNMENT
from runtime_py.bundle import MANIFEST, Bundle
from runtime_py.packed import is_packed
from runtime_py.program_front import HEAD, moved_head, tables_size
from runtime_py.program_header import check_program_header

LAYOUTS = {"bundle": ".llmbundle", "etm": ".etm"}
"""Layout -> suffix of its files. ``etm`` adds metadata.json of ExecuTorch's RFC #17640."""

_ALIGNMENT = 64
_ALIGN_ID = 0xD935
"""Extra field with which Android's zipalign moves a member's data: its alignment, then zeros."""
_LONG = 1 << 30
"""Bytes of a member whose sizes take 64 bits; below what zipfile would decide for itself."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
_FILE = Named("the packed bundle")


@dataclass(frozen=True)
class PackedBundle:
    """What was packed.

    Attributes:
        files: name -> bytes.
        bytes: of the archive.
        left_out: files of the folder that the manifest does not list.
    """

    path: Path
    files: Mapping[str, int]
    bytes: int
    left_out: tuple[str, ...]


def pack(folder: Path, file: Path | None = None, layout: str = "bundle") -> PackedBundle:
    """Write the files of a bundle that its manifest lists to one archive, whole or not at all. The
    same bundle gives the same bytes.

    Args:
        file: None: beside the folder, by its name. A packed bundle there is replaced.
        layout: one of ``LAYOUTS``.

    Raises:
        BundleRuntimeError: not a bundle, or damaged: a file has another digest.
        BundleError: a file changes meanwhile.
        InputError: there is no such layout, or the file cannot be written.
    """
    if layout not in LAYOUTS:
        raise InputError(
            f"there is no layout '{layout}'", where="--layout", fix=f"one of {', '.join(LAYOUTS)}"
        )
    bundle = Bundle.open(folder)
    program = bundle.manifest["roles"]["program"]
    check_program_header(folder / program)
    if file is None:
        file = folder.resolve().with_name(folder.resolve().name + LAYOUTS[layout])
    file = file_to_write(file, _FILE)
    if file.exists() and not is_packed(file):
        raise _FILE.refuse(file, "would replace a file of another kind", "another FILE")
    texts = {METADATA: metadata_json(bundle).encode()} if layout == "etm" else {}
    if both := texts.keys() & bundle.manifest["files"].keys():
        raise InputError(
            f"the bundle has a file of that layout's name: {min(both)}", where=f"--layout {layout}"
        )
    try:
        with replacing(file) as partial:
            with partial.open("x+b") as out:
                files = _write(out, bundle, program, texts)
            size = partial.stat().st_size
    except OSError as error:
        raise InputError(
            f"the packed bundle cannot be written: {error.strerror or error}", where=str(file),
            fix="another FILE, where there is room for it",
        ) from None  # fmt: skip
    return PackedBundle(file, files, size, tuple(_left_out(folder, files)))


def _write(
    out: IO[bytes], bundle: Bundle, program: str, texts: Mapping[str, bytes]
) -> dict[str, int]:
    listed = bundle.manifest["files"]
    entry = _entry(program, listed[program]["bytes"])
    _write_front(out, bundle.path / program, entry)
    sizes = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in [program, *sorted(listed.keys() - {program})]:
            if name != program:
                entry = _aligned(name, listed[name]["bytes"], out.tell())
            digest = _copy(bundle.path / name, archive, entry)
            if digest != listed[name]["sha256"]:
                raise BundleError(
                    f"the bundle is damaged: {name} has another sha256 than the manifest says",
                    where=str(bundle.path), fix="copy or export it again",
                )  # fmt: skip
            sizes[name] = entry.file_size
        # Last, as it was when the digests of all files were those that it lists.
        manifest = (bundle.path / MANIFEST).read_bytes()
        for name, data in {MANIFEST: manifest, **texts}.items():
            archive.writestr(_aligned(name, len(data), out.tell()), data)
            sizes[name] = len(data)
    if Bundle.open(bundle.path).manifest != bundle.manifest:
        raise BundleError(
            "the bundle was changed meanwhile", where=str(bundle.path), fix="pack it again"
        )
    return sizes


def _write_front(out: IO[bytes], program: Path, entry: zipfile.ZipInfo) -> None:
    """The program's tables, and zeros up to where the member's header must begin."""
    with program.open("rb") as file:
        head = file.read(HEAD)
        size = tables_size(head)
        start = _multiple(size + _header_size(entry), ALIGNMENT)
        out.write(moved_head(head, start))
        left = size - HEAD
        while left and (block := file.read(min(left, _BLOCK))):
            out.write(block)
            left -= len(block)
    out.write(bytes(start - _header_size(entry) - out.tell()))


def _copy(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """Write a file as a member; returns its SHA-256."""
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        archive.open(entry, "w", force_zip64=_is_long(entry)) as member,
    ):
        for block in _blocks(file, entry.file_size, path):
            digest.update(block)
            member.write(block)
    return digest.hexdigest()


def _blocks(file: IO[bytes], size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        block = file.read(min(left, _BLOCK))
        if not block:
            raise BundleError(
                "a file became shorter meanwhile", where=str(path), fix="pack the bundle again"
            )
        left -= len(block)
        yield block


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    """Without what differs from machine to machine: time, permissions, system."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    entry.file_size, entry.compress_size, entry.CRC = size, 0, 0  # the last two as they are written
    return entry


def _aligned(name: str, size: int, at: int) -> zipfile.ZipInfo:
    """The entry of a member whose header lies at ``at``."""
    entry = _entry(name, size)
    head = struct.calcsize("<HHH")
    bare = at + _header_size(entry) + head
    zeros = _multiple(bare, _ALIGNMENT) - bare
    entry.extra = struct.pack("<HHH", _ALIGN_ID, 2 + zeros, _ALIGNMENT) + bytes(zeros)
    return entry


def _header_size(entry: zipfile.ZipInfo) -> int:
    return len(entry.FileHeader(zip64=_is_long(entry)))


def _is_long(entry: zipfile.ZipInfo) -> bool:
    return entry.file_size >= _LONG


def _multiple(value: int, of: int) -> int:
    return -(-value // of) * of


def _left_out(folder: Path, files: Mapping[str, int]) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in files and not name.startswith("."):
            yield name
