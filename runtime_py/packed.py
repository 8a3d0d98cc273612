"""Open a packed bundle as it is.

Its small files are written to a folder of the process, which ends with it; the program's name there
is a link to the archive, which ExecuTorch maps (``runtime_py.program_front``). The program is never
copied.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from runtime_py.archive import Archive, Member, is_archive
from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.manifest import MANIFEST, MAX_BYTES, read_manifest
from runtime_py.program_front import require_mapped

SUFFIX = ".llmbundle"

_views: dict[tuple[str, int, int, int], Path] = {}
_lock = threading.Lock()


def is_packed(path: str | Path) -> bool:
    """Whether a path is of a file that may be a packed bundle."""
    try:
        return Path(path).is_file() and is_archive(Path(path))
    except (OSError, ValueError):
        return False


def folder_of(path: str | Path) -> Path:
    """The folder with a bundle's files: ``path`` itself, or that of a packed bundle, in which the
    program is a link to the archive. It is to be read only, and ends with this process.

    Raises:
        BundleRuntimeError: a file that is no packed bundle, or cannot be loaded as it is.
    """
    path = Path(path)
    try:
        if not path.is_file():
            return path
        found = path.stat()
    except (OSError, ValueError):  # a name that no file can have: who reads it tells
        return path
    with guarded("the packed bundle cannot be opened", where=str(path)):
        full = path.resolve()
        key = (str(full), found.st_ino, found.st_size, found.st_mtime_ns)
        with _lock:
            if key not in _views or not _views[key].is_dir():
                _views[key] = _view(full)
            return _views[key]


@contextlib.contextmanager
def named(path: str | os.PathLike[str], folder: Path) -> Iterator[None]:
    """Context manager: errors about the folder of a packed bundle name the bundle's ``path``."""
    try:
        yield
    except BundleRuntimeError as error:
        if error.where is not None and folder != Path(path):
            error.where = error.where.replace(str(folder), str(path))
        raise


def linked_program(path: Path) -> tuple[Archive, Member] | None:
    """The archive to which a program's name links, and its member; None for any other file."""
    if not path.is_symlink() or not is_archive(path):
        return None
    archive = Archive.read(path.resolve())
    member = archive.members.get(path.name)
    return None if member is None else (archive, member)


def _view(path: Path) -> Path:
    archive = Archive.read(path)
    if MANIFEST not in archive.members:
        raise BundleRuntimeError(
            "this is no packed bundle: it has no manifest.json", where=str(path),
            fix="llm-export pack BUNDLE makes one",
        )  # fmt: skip
    above = Path(tempfile.mkdtemp(prefix="llm_bundle-"))
    atexit.register(_remove, above, os.getpid())
    folder = above / path.name  # which errors show
    try:
        folder.mkdir()
        _fill(folder, archive)
    except BaseException:
        shutil.rmtree(above, ignore_errors=True)
        raise
    return folder


def _fill(folder: Path, archive: Archive) -> None:
    if archive.members[MANIFEST].size > MAX_BYTES:
        raise BundleRuntimeError("the manifest is too large", where=str(archive.path))
    _write(folder, archive, archive.members[MANIFEST])
    manifest = read_manifest(folder)
    program = manifest["roles"]["program"]
    if program not in archive.members or "/" in program:
        raise BundleRuntimeError(
            f"the bundle is damaged: {program[:200]} is missing", where=str(archive.path),
            fix="pack or copy it again",
        )  # fmt: skip
    require_mapped(archive, archive.members[program])
    (folder / program).symlink_to(archive.path)
    # A missing one is told as in a folder. Their digests are compared by who reads them.
    for name in manifest["files"]:
        if name in archive.members and name != program:
            _write(folder, archive, archive.members[name])


def _write(folder: Path, archive: Archive, member: Member) -> None:
    if not member.stored:
        raise BundleRuntimeError(
            f"the archive cannot be loaded as it is: {member.name[:200]} is compressed",
            where=str(archive.path), fix="llm-export unpack FILE FOLDER",
        )  # fmt: skip
    file = folder / member.name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as out:
        for block in archive.blocks(member):
            out.write(block)


def _remove(folder: Path, process: int) -> None:
    """A child that a process forked leaves its folder alone."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
