"""Write the files of a packed bundle to a folder, each as its manifest says."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.errors import BundleError, InputError
from llm_export.output.place import Named, folder_to_write
from llm_export.output.working import put_in_place
from runtime_py.archive import Archive
from runtime_py.bundle import MANIFEST, Bundle
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.manifest import MAX_BYTES, read_manifest
from runtime_py.program_front import require_mapped

_FOLDER = Named("the folder")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class UnpackedBundle:
    """What was unpacked.

    Attributes:
        files: name -> bytes.
        left_out: members that the manifest does not list.
        note: why the archive cannot be loaded as it is; empty if it can.
    """

    folder: Path
    files: Mapping[str, int]
    left_out: tuple[str, ...]
    note: str


def unpack(file: Path, folder: Path | None = None) -> UnpackedBundle:
    """Write a packed bundle's files to a folder, whole or not at all. Archives that other tools
    made of a bundle's files are taken too, compressed or not.

    Args:
        folder: absent or empty; None: beside the file, by its name without suffix.

    Raises:
        BundleRuntimeError: not a packed bundle; or made to do harm: a member leads out, is a link,
            hides another, or is longer than the manifest says.
        BundleError: damaged: a file is missing or has another digest.
        InputError: the folder holds something, or cannot be written.
    """
    archive = Archive.read(file)
    if folder is None:
        folder = file.resolve().with_suffix("")
        if folder == file.resolve():
            raise _FOLDER.refuse(folder, "is the packed bundle itself", "name a FOLDER")
    folder = folder_to_write(folder, _FOLDER)
    _require_empty(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            manifest = _write_all(archive, made)
            Bundle.open(made)
            put_in_place(made, folder, _FOLDER, _require_empty)
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror or error}", where=str(folder)
        ) from None
    sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
    left = sorted(archive.members.keys() - sizes.keys() - {MANIFEST})
    return UnpackedBundle(folder, sizes, tuple(left), _note(archive, manifest))


def _write_all(archive: Archive, made: Path) -> dict[str, Any]:
    """All files of the manifest; returns it."""
    where = str(archive.path)
    with (
        guarded("the archive is damaged", where=where, fix="copy it again"),
        zipfile.ZipFile(archive.path) as opened,
    ):
        _require(MANIFEST, archive)
        _write(opened, MANIFEST, made, MAX_BYTES)
        manifest = read_manifest(made)
        for name, entry in manifest["files"].items():
            _require(name, archive)
            size, digest = _write(opened, name, made, entry["bytes"])
            if (size, digest) != (entry["bytes"], entry["sha256"]):
                raise BundleRuntimeError(
                    f"the bundle is damaged: {name[:200]} is not the one of the manifest",
                    where=where, fix="copy it again",
                )  # fmt: skip
    return manifest


def _require(name: str, archive: Archive) -> None:
    """Only names that the archive's table was checked for become files."""
    if name not in archive.members:
        raise BundleRuntimeError(
            f"the bundle is damaged: {name[:200]} is missing", where=str(archive.path),
            fix="copy or pack it again",
        )  # fmt: skip


def _write(opened: zipfile.ZipFile, name: str, made: Path, most: int) -> tuple[int, str]:
    """(bytes, SHA-256) of a member, of which no more than ``most`` bytes are written."""
    size, digest = 0, hashlib.sha256()
    file = made / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(name) as member, file.open("xb") as out:
        while block := member.read(_BLOCK):
            size += len(block)
            if size > most:
                raise BundleRuntimeError(
                    f"the archive holds more than the manifest says: {name[:200]}",
                    where=str(opened.filename), fix="do not use it",
                )  # fmt: skip
            digest.update(block)
            out.write(block)
    return size, digest.hexdigest()


def _note(archive: Archive, manifest: Mapping[str, Any]) -> str:
    try:
        require_mapped(archive, archive.members[manifest["roles"]["program"]])
    except BundleRuntimeError as error:
        return error.what
    return ""


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(
            "the folder holds something", where=str(folder), fix="another FOLDER, or an empty one"
        )
