"""The working folder of a run, and the atomic publication of its bundle.

``outputs/NAME`` appears only when the bundle is complete. Until then all files are in
``outputs/.NAME.partial``. A lock protects that folder from a second run; if the run is killed,
the next run with the same name clears it.

A run that stops before the last stage publishes nothing. It uses a private folder,
``outputs/.NAME.partial-XXXX``, so that runs with the same name need not wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import IO

from llm_export.errors import InputError, MissingDependencyError

MARK, RECORD = "manifest.json", "run.json"


class Workspace:
    """``path`` holds run.json and run.log; ``bundle`` becomes ``out``.

    Args:
        private: use a private folder and publish nothing; ``out`` is ignored.

    Raises:
        InputError: the folder cannot be written, or ``out`` holds something that is no bundle.
        MissingDependencyError: another run works on the same ``out``.
    """

    def __init__(self, out: Path, *, private: bool = False) -> None:
        self.out = out.absolute()
        word = f"-{secrets.token_hex(4)}" if private else ""
        self.path = self.out.parent / f".{self.out.name}.partial{word}"
        self.bundle = self.path / "bundle"
        self.record_file = self.path / "run.json"
        self.log_file = self.path / "run.log"
        self._old = self.path / "replaced"
        self._finished = False
        self._lock: IO[str] | None = None
        if not private:
            _refuse_foreign(self.out)
        try:
            self._sweep()
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
            self._recover()
            self._clear()
            self.bundle.mkdir()
        except OSError as error:
            self.release()
            raise InputError(
                f"the output folder cannot be written: {error.strerror}",
                where=f"out={self.out}",
                fix="out=FOLDER that can be written",
            ) from None

    def publish(self) -> None:
        """Rename the finished bundle to ``out``; an existing bundle is replaced.

        Raises:
            InputError: ``out`` has become something else; ``abandon`` then keeps the bundle.
        """
        _flush_to_disk(self.bundle)
        self._finished = True
        try:
            _refuse_foreign(self.out)  # again: the folder may have changed during the run
        except InputError as error:
            raise InputError(
                error.what, where=error.where, fix=f"move the finished bundle from {self.bundle}"
            ) from None
        if self.out.exists():
            os.rename(self.out, self._old)
        os.rename(self.bundle, self.out)
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    @property
    def left(self) -> str:
        """What ``abandon`` leaves, as text for the user."""
        return (
            f"left: {self.path}, with {self.record_file.name} and {self.log_file.name}; the next "
            "run of this output replaces it"
        )

    def abandon(self) -> None:
        """Keep the record and the log of a failed run, and a finished bundle that could not be
        published; remove everything else.
        """
        self._recover()
        if not self._finished:
            shutil.rmtree(self.bundle, ignore_errors=True)
        self.release()

    def discard(self) -> None:
        """Remove all files of a run that was ended on purpose."""
        self._recover()
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _sweep(self) -> None:
        """Remove private folders of runs that were killed."""
        name = glob.escape(self.out.name)
        for lock in self.out.parent.glob(f".{name}.partial-{'[0-9a-f]' * 8}/lock"):
            with contextlib.suppress(OSError), lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)

    def _acquire(self) -> None:
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise MissingDependencyError(
                "another run is working on this output",
                where=f"out={self.out}",
                fix="wait for it, or choose another out=FOLDER",
            ) from None
        self._lock = lock

    def _recover(self) -> None:
        """Restore the old bundle if a run was killed between the two renames of ``publish``."""
        if self._old.is_dir() and not self.out.exists():
            os.rename(self._old, self.out)

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _refuse_foreign(out: Path) -> None:
    """Refuse to replace anything but a bundle of llm_export without additional files."""
    if out.is_file():
        raise InputError("the output is a file", where=f"out={out}", fix="out=FOLDER")
    if not out.is_dir() or not any(out.iterdir()):
        return
    own = _files_of_bundle(out)
    names = (p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir())
    foreign = sorted(name for name in names if name not in own)
    if foreign:
        raise InputError(
            f"the output folder holds something that is not a bundle's: {foreign[0]}",
            where=f"out={out}",
            fix="choose another out=FOLDER; nothing was changed",
        )


def _files_of_bundle(out: Path) -> set[str]:
    """File names listed in the manifest in ``out``; empty if there is no valid manifest."""
    try:
        manifest = json.loads((out / MARK).read_text(encoding="utf-8"))
        return {MARK, RECORD, *manifest["files"]} if "roles" in manifest else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _flush_to_disk(folder: Path) -> None:
    """fsync every file, so that a crash after the rename cannot leave empty ones."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
