"""The working folder of a run, and the atomic publication of its bundle.

``outputs/NAME`` appears only when the bundle is complete. Until then all files are in
``outputs/.NAME.partial``. A lock beside that folder, held from before its creation until after the
rename, keeps a second run out; if the run is killed, the next run with the same name clears it.

A run that stops before the last stage publishes nothing. It uses a private folder,
``outputs/.NAME.partial-XXXX``, so that runs with the same name need not wait for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from llm_export.errors import InputError
from llm_export.output.claim import refuse_foreign
from llm_export.output.lock import Busy, PathLock
from llm_export.output.place import folder_to_write
from llm_export.output.seal import write_seal
from llm_export.output.working import busy, lock_of, private_folder, sweep, working_folder


class Workspace:
    """``path`` holds run.json and run.log; ``bundle`` becomes ``out``.

    Args:
        private: use a private folder and publish nothing; what ``out`` holds does not matter.

    Attributes:
        finished: whether ``bundle`` is complete, though perhaps not published.

    Raises:
        InputError: ``out`` cannot be written or replaced; see ``output.claim``.
        MissingDependencyError: another run works on the same ``out``.
    """

    def __init__(self, out: Path, *, private: bool = False) -> None:
        self.out = folder_to_write(out, renamed=not private)
        self.finished = False
        self._lock: PathLock | None = None
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if private:
                self.path, self._lock = private_folder(self.out)
            else:
                self.path = working_folder(self.out)
                self._lock = self._acquire()
            self.bundle = self.path / "bundle"
            self.record_file = self.path / "run.json"
            self.log_file = self.path / "run.log"
            self._old = self.path / "replaced"
            sweep(self.out)
            if not private:
                self._recover()
                refuse_foreign(self.out)
            self._clear()
            self.bundle.mkdir(parents=True)
        except OSError as error:
            self.release()
            raise InputError(
                f"the output folder cannot be written: {error.strerror}",
                where=f"out={self.out}",
                fix="out=FOLDER that can be written",
            ) from None
        except BaseException:
            self.release()
            raise

    def publish(self) -> None:
        """Rename the finished bundle to ``out``; an existing bundle is replaced.

        Raises:
            InputError: ``out`` has become something else, or cannot be replaced; ``abandon`` then
                keeps the bundle.
        """
        write_seal(self.bundle)
        _flush_to_disk(self.bundle)
        self.finished = True
        try:
            self._place()
        except InputError as error:
            self._recover()
            raise InputError(
                error.what, where=error.where, fix=f"move the finished bundle from {self.bundle}"
            ) from None
        except OSError as error:
            self._recover()
            raise InputError(
                f"the output cannot be put in its place: {error.strerror}",
                where=f"out={self.out}", fix=f"move the finished bundle from {self.bundle}",
            ) from None  # fmt: skip
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    @property
    def left(self) -> str:
        """What ``abandon`` leaves, as text for the user."""
        return (
            f"left: {self.path}, with {self.record_file.name} and {self.log_file.name}; the next "
            "run of this output replaces it"
        )

    def abandon(self, conclude: Callable[[], object] = lambda: None) -> None:
        """Keep the record and the log of a failed run, and a finished bundle that could not be
        published; remove everything else.

        Args:
            conclude: called before the lock is released, when the disk has room again.
        """
        self._recover()
        if not self.finished:
            shutil.rmtree(self.bundle, ignore_errors=True)
        with contextlib.suppress(OSError):  # a full disk must not hide the first error
            conclude()
        self.release()

    def discard(self) -> None:
        """Remove all files of a run that was ended on purpose."""
        self._recover()
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _acquire(self) -> PathLock:
        try:
            return PathLock(lock_of(self.path))
        except Busy:
            raise busy(self.out) from None

    def _place(self) -> None:
        """Two renames. What was at ``out`` is examined before it is moved, because it may have
        changed during the run, and again after that, because it may have changed in between."""
        folder_to_write(self.out)
        refuse_foreign(self.out)
        if os.path.lexists(self.out):
            os.rename(self.out, self._old)
            refuse_foreign(self._old, shown=self.out)
        os.rename(self.bundle, self.out)  # the system refuses to replace a folder with files

    def _recover(self) -> None:
        """Restore what was at ``out`` if a run stopped between the two renames."""
        if os.path.lexists(self._old) and not os.path.lexists(self.out):
            os.rename(self._old, self.out)

    def _clear(self) -> None:
        if not self.path.exists():
            return
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _flush_to_disk(folder: Path) -> None:
    """fsync every file, so that a crash after the rename cannot leave empty ones."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
