"""The working folder of a writer: beside the output, so that one rename publishes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from llm_export.errors import MissingDependencyError
from llm_export.output.lock import Busy, PathLock
from llm_export.output.place import OUT, Named

_LONG = 200
"""Bytes of a name above which the working folder's is shortened, so that it stays below 255."""
FORMER = "former"
"""Name, beside the finished folder, of what ``put_in_place`` has replaced."""
_PRIVATE = re.compile(r"-[0-9a-f]{8}")
_OWN = re.compile(r"run\.json|run\.log|bundle|replaced|again|lock|tmp[a-z0-9_]{8}|\..+\.partial")
"""What runs keep in it; ``lock`` was there in version 0.1."""


def working_folder(out: Path) -> Path:
    """``.NAME.partial`` beside ``out``."""
    return out.parent / f"{_stem(out)}.partial"


def private_folder(out: Path) -> tuple[Path, PathLock]:
    """A new name beside ``out`` for a writer that publishes nothing, locked.

    Raises:
        OSError: the lock cannot be made.
    """
    while True:
        path = out.parent / f"{_stem(out)}.partial-{secrets.token_hex(4)}"
        try:
            return path, PathLock(lock_of(path))
        except Busy:  # being removed by ``sweep``, which takes it for a dead one's
            continue


def lock_of(folder: Path) -> Path:
    """The lock of a working folder. It is beside the folder: it exists before and after it."""
    return folder.with_name(f"{folder.name}.lock")


@contextlib.contextmanager
def one_writer(out: Path, named: Named) -> Iterator[None]:
    """Context manager: keep other writers from a folder that is changed in its place. Where its
    parent cannot be written, it can neither be locked nor replaced.

    Raises:
        MissingDependencyError: another writer works on it.
    """
    lock: PathLock | None = None
    try:
        with contextlib.suppress(OSError):
            lock = PathLock(lock_of(working_folder(out)))
    except Busy:
        raise busy(out, named) from None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def busy(out: Path, named: Named = OUT) -> MissingDependencyError:
    return MissingDependencyError(
        "another run is working on this output",
        where=f"{named.argument}{out}",
        fix=f"wait for it, or choose another {named.argument or ''}FOLDER",
    )


def put_in_place(made: Path, folder: Path, named: Named, examine: Callable[[Path], object]) -> None:
    """Rename a finished folder to ``folder``; what is there is replaced.

    Args:
        made: in a temporary folder on the same disk, which the caller removes.
        examine: raises an error if what it is given may not be replaced.

    Raises:
        MissingDependencyError: another writer works on it.
        OSError: it cannot be renamed.
    """
    aside = made.with_name(FORMER)
    with one_writer(folder, named):
        if os.path.lexists(folder):
            examine(folder)
            os.rename(folder, aside)
            try:
                examine(aside)  # it may have changed in between
                os.rename(made, folder)
            except BaseException:
                os.rename(aside, folder)
                raise
        else:
            os.rename(made, folder)


def sweep(out: Path) -> None:
    """Remove the private folders of writers that were killed.

    A writer locks before it makes its folder, so that a folder without a lock has no writer.
    """
    head = f"{_stem(out)}.partial"
    for name in _names(out.parent):
        stem = name.removesuffix(".lock")
        if not stem.startswith(head) or not _PRIVATE.fullmatch(stem[len(head) :]):
            continue
        folder = out.parent / stem
        try:
            lock = PathLock(lock_of(folder))
        except (Busy, OSError):
            continue
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()


def foreign_entry(folder: Path) -> str | None:
    """What a working folder holds that no run puts there; None if it is absent or a run's."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return folder.name
    return next((name for name in _names(folder) if not _OWN.fullmatch(name)), None)


def _stem(out: Path) -> str:
    name = os.fsencode(out.name)
    if len(name) <= _LONG:
        return f".{out.name}"
    short = name[:60].decode("utf-8", "ignore")
    return f".{short}-{hashlib.sha256(name).hexdigest()[:16]}"


def _names(folder: Path) -> Iterator[str]:
    try:
        yield from sorted(os.listdir(folder))
    except FileNotFoundError:
        return
