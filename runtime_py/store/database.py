"""One SQLite file: opening it, its transactions, and errors for users."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.guard import reason
from runtime_py.store.schema import APPLICATION_ID, MIGRATIONS, PAGE_SIZE, VERSION

_FIXES = {
    "locked": "another process is writing; try again, or open it with a larger wait_seconds",
    "full": "free room on its disk, or remove sessions",
    "readonly": "make the file and its folder writable",
    "another file": "open it again",
    "disk I/O": "look at the disk: whether it is full, or fails",
    "malformed": "go back to a copy; `sqlite3 FILE .recover` saves what can be read",
    "no such": "go back to a copy; `sqlite3 FILE .recover` saves what can be read",
}


class Database:
    """A connection that several threads may share. A journal exists during a transaction only, so
    that a file that nobody writes is whole by itself and can be copied.

    Args:
        wait_seconds: how long to wait for another process that writes.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, wait_seconds: float = 30.0, create: bool = True
    ) -> None:
        if not isinstance(path, str | os.PathLike) or "\0" in str(path):
            raise ArgumentError(f"path must be the name of a file, not {type(path).__name__}")
        if isinstance(wait_seconds, bool) or not isinstance(wait_seconds, int | float):
            raise ArgumentError(f"wait_seconds must be a number, not {type(wait_seconds).__name__}")
        if not 0 <= wait_seconds <= 3600:
            raise ArgumentError(f"wait_seconds must be from 0 to 3600, not {wait_seconds}")
        self.path = Path(path)
        self._lock = threading.RLock()
        self._depth = 0
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        if not create and not self.path.exists():
            raise self._error(
                "there is no such store", "the file of `chat --store FILE`, or of Store(FILE)"
            )
        self._create_file()
        with self.translated():
            self._connection = self._connected(float(wait_seconds))
            try:
                self._migrate()
            except BaseException:
                self.close()
                raise

    def _create_file(self) -> None:
        """Only its owner may read it: it holds conversations. SQLite's journal gets its mode.

        A file that is there is opened by SQLite alone: to close another handle of it would end the
        locks that this process has on it (https://sqlite.org/howtocorrupt.html, 2.2).
        """
        if self.path.exists():
            if self.path.is_dir():
                raise self._error("the store cannot be read: Is a directory", "the name of a file")
            if not os.access(self.path, os.R_OK):
                raise self._error("the store cannot be read: Permission denied")
            return
        empty = self.path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            _touch(empty)
            try:
                os.link(empty, self.path)  # never onto that of another process
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                with contextlib.suppress(FileExistsError):
                    _touch(self.path)
            finally:
                empty.unlink()
        except OSError as error:
            raise self._error(f"the store cannot be made: {error.strerror}") from None

    def _connected(self, wait_seconds: float) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri() + "?mode=rw"
        found = sqlite3.connect(
            uri, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            f"page_size = {PAGE_SIZE}",
            "foreign_keys = ON",
            "secure_delete = ON",  # what is removed was somebody's conversation
            "synchronous = FULL",
            "trusted_schema = OFF",
            "cell_size_check = ON",
        ):
            found.execute(f"PRAGMA {pragma}")
        return found

    def _migrate(self) -> None:
        if self._known() == VERSION:
            return
        with self.write() as connection:
            # Asked again: another process may have been first.
            for version in range(self._known(), VERSION):
                for statement in MIGRATIONS[version].split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _known(self) -> int:
        """The file's version; 0 if it is empty."""
        with self.read() as connection:
            empty = connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0]
            owner = connection.execute("PRAGMA application_id").fetchone()[0]
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if empty and owner == 0:
            return 0
        if owner != APPLICATION_ID:
            raise self._error(
                "this file is no store: it is a SQLite file of another program",
                "another file name",
            )
        if version > VERSION:
            raise self._error(
                f"the store has version {version}; this runtime reads up to {VERSION}",
                "update llm_export, or use another file",
            )
        return version

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Nothing that is read in the block is from different moments."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All that the block writes is there afterwards, or nothing if it raises. A block within
        another one belongs to that.

        Raises:
            BundleRuntimeError: the file is locked, full, damaged or cannot be written.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self.translated():
            connection = self.connection
            if self._depth == 0:
                connection.execute(begin)
            self._depth += 1
            try:
                yield connection
                if self._depth == 1:
                    connection.execute("COMMIT")
            except BaseException:
                if self._depth == 1 and connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @property
    def connection(self) -> sqlite3.Connection:
        """
        Raises:
            BundleRuntimeError: it is closed, or this process is a fork of the one that opened it.
        """
        if self._connection is None:
            raise self._error("the store is closed", "open it again")
        if self._process != os.getpid():
            raise self._error(
                "the store was opened before this process was forked", "open it in each process"
            )
        return self._connection

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of SQLite, and of what a damaged file says, as those of the runtime."""
        try:
            yield
        except BundleRuntimeError:
            raise
        except Exception as error:
            if "file is not a database" in str(error):
                raise self._error(
                    "this file is no store: it is no SQLite file", "another file name"
                ) from None
            text = _words(error) if isinstance(error, sqlite3.Error) else reason(error)
            fix = next((fix for words, fix in _FIXES.items() if words in text), None)
            raise self._error(f"the store cannot be used: {text}", fix) from None

    def used_bytes(self) -> int:
        """Bytes of the file that hold something; the rest is free for what comes."""
        with self.read() as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def fact(self, name: str) -> int:
        with self.read() as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise self._error(f"the store is damaged: it has no {name}", "go back to a copy")
        return int(row[0])

    def set_fact(self, name: str, value: int) -> None:
        with self.write() as connection:
            connection.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))

    def vacuum(self) -> None:
        """Give free pages back to the disk. Needs as much space again for a moment."""
        with self._lock, self.translated():
            self.connection.execute("VACUUM")

    def check(self) -> list[str]:
        """What SQLite finds wrong in the file; nothing if it is sound."""
        with self.read() as connection:
            rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
            loose = connection.execute("PRAGMA foreign_key_check").fetchall()
        found = [row[0] for row in rows if row[0] != "ok"]
        return found + [f"{row[0]} {row[1]} belongs to no {row[2]}" for row in loose[:20]]

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    @property
    def closed(self) -> bool:
        return self._connection is None

    def _error(self, what: str, fix: str | None = None) -> BundleRuntimeError:
        return BundleRuntimeError(what, where=str(self.path), fix=fix)


def _touch(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _words(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorname", "") == "SQLITE_READONLY_DBMOVED":
        return "it was removed while it was open, or another file is in its place"
    return str(error)
