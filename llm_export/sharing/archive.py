"""Read .zip and .tar.gz archives into memory; nothing is unpacked to disk."""

from __future__ import annotations

import contextlib
import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from llm_export.errors import InputError
from llm_export.sharing.members import (
    MAX_TOTAL,
    Budget,
    Files,
    is_hidden,
    limit_of,
    require_distinct,
    require_name,
    without_top,
)  # fmt: skip
from runtime_py.archive_names import leads_out

SUFFIXES = (".zip", ".tar.gz", ".tgz")
_CHUNK = 1 << 16
_MAX_ARCHIVE = MAX_TOTAL + 1_000_000


def read_archive(path: Path) -> Files:
    """Read the files of an archive, without a common top folder.

    Raises:
        InputError: damaged; too many or too large files; a name that leads elsewhere; a link
            or device; a file of a kind that no shared recipe holds.
    """
    with _damage_of(path):
        if path.stat().st_size > _MAX_ARCHIVE:
            raise InputError(
                f"the archive is larger than {_MAX_ARCHIVE / 1e6:.0f} MB", where=str(path)
            )
        files = _read_zip(path) if path.name.endswith(".zip") else _read_tar(path)
    return _checked(files, str(path))


def _checked(files: Files, where: str) -> Files:
    """The files below a common folder, with their final names checked."""
    files = without_top(files)
    for name in files:
        require_name(name, where)
    require_distinct(files, where)
    return files


@contextlib.contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if not isinstance(error, gzip.BadGzipFile) and error.errno is not None:
            raise InputError(
                f"the archive cannot be read: {error.strerror}", where=str(path)
            ) from None
        raise _damaged(path, error) from None
    # What the readers raise for damaged files is not said anywhere: zipfile raises struct's and
    # zlib's errors, NotImplementedError and RuntimeError (encrypted), tarfile OverflowError.
    except Exception as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return InputError(f"the archive is damaged: {reason}", where=str(path), fix="fetch it again")


def _read_zip(path: Path) -> Files:
    files: Files = {}
    budget = Budget(str(path))
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            budget.entry()
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(entry.filename, path)
            name = _plain(entry.filename)
            if name.endswith("/"):
                _require_inside(name.rstrip("/"), path)
                continue
            budget.file()
            if not _wanted(name, files, path):
                continue
            # The size in the header is not trusted: count the bytes that are read.
            with archive.open(entry) as packed:
                files[name] = _bounded(packed, name, budget)
    return files


def _read_tar(path: Path) -> Files:
    files: Files = {}
    budget = Budget(str(path))
    # Unpacked first, within bounds: tarfile reads headers of any size that they claim.
    with tarfile.open(fileobj=io.BytesIO(_gunzip(path)), mode="r:") as archive:
        for entry in archive:
            budget.entry()
            if entry.isdir():
                _require_inside(entry.name.rstrip("/"), path)
                continue
            if not entry.isreg() or entry.issparse():
                raise _special(entry.name, path)
            budget.file()
            name = _plain(entry.name)
            if not _wanted(name, files, path):
                continue
            packed = archive.extractfile(entry)
            assert packed is not None  # of a regular file
            files[name] = _bounded(packed, name, budget)
            if len(files[name]) != entry.size:
                raise InputError("the archive is damaged: it is cut short", where=str(path))
    return files


def _plain(name: str) -> str:
    """``tar -c .`` writes ./ before every name."""
    return name.removeprefix("./")


def _gunzip(path: Path) -> bytes:
    limit = 2 * MAX_TOTAL
    engine = zlib.decompressobj(wbits=31)
    out = bytearray()
    with path.open("rb") as file:
        while not engine.eof and (data := file.read(_CHUNK)):
            out += engine.decompress(data, limit - len(out) + 1)
            if len(out) > limit or engine.unconsumed_tail:
                raise InputError(
                    f"the archive holds more than {limit / 1e6:.0f} MB", where=str(path)
                )
    if not engine.eof:
        raise InputError("the archive is damaged: it is cut short", where=str(path))
    return bytes(out)


def _bounded(packed: object, name: str, budget: Budget) -> bytes:
    data: bytes = packed.read(limit_of(name) + 1)  # type: ignore[attr-defined]
    budget.take(name, len(data))
    return data


def _wanted(name: str, files: Files, path: Path) -> bool:
    _require_inside(name, path)
    if is_hidden(name):
        return False
    if name in files:
        raise InputError(f"two files have one name: {name!r}", where=str(path))
    return True


def _require_inside(name: str, path: Path) -> None:
    """Refuse a name outside the archive's folder, also of ignored members: it is malicious."""
    if leads_out(name):
        raise InputError(
            f"a file's name leads out of the folder: {name[:120]!r}", where=str(path),
            fix="do not use an archive that was made like that",
        )  # fmt: skip


def _special(name: str, path: Path) -> InputError:
    return InputError(
        f"the archive holds a link or device: {name[:120]!r}", where=str(path),
        fix="do not use an archive that was made like that",
    )  # fmt: skip
