"""Finished stages on disk, by content: what a run made, another need not make again.

``entries/KEY.json`` says what a stage made: names and sha256 of files. The files themselves are
``blobs/SHA256``, once each however many entries name them. Entries and blobs are written under
a temporary name and renamed. Three kinds of locks: one on the folder while names appear or
disappear in it, one on each entry for as long as a run uses it, one on each writer's scratch.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from llm_export.stage_cache.blobs import Blob, Damaged, copy_checked, digest_of, duplicate

FORMAT = 1


class TooLarge(Exception):
    """What is to be kept exceeds the limit of the whole cache."""


@dataclass(frozen=True)
class Entry:
    """What one stage made.

    Attributes:
        stage, recipe, made: for people: names, and the time in UTC.
        seconds: that the stage took.
        facts: plain data of its own.
        files: name -> file that belongs to the entry alone.
        bundle: path in the bundle's folder -> file, all that were there after the stage.
        used: seconds since the epoch.
    """

    key: str
    stage: str
    recipe: str
    made: str
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Blob] = field(default_factory=dict)
    bundle: dict[str, Blob] = field(default_factory=dict)
    used: float = 0.0

    @property
    def blobs(self) -> dict[str, int]:
        """sha256 -> bytes."""
        return {b.sha256: b.bytes for b in (*self.files.values(), *self.bundle.values())}


class Cache:
    """A folder of entries with a limit on its size.

    Args:
        limit: bytes; what was used least recently goes when they are passed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._entries, self._blobs = folder / "entries", folder / "blobs"
        self._scratch = folder / "tmp"
        self._held: dict[str, IO[str]] = {}

    def find(self, key: str) -> Entry | None:
        """The entry, which nobody removes until ``release``. It counts as used now.

        Raises:
            Damaged: there is such an entry and it cannot be read.
        """
        path = self._entry(key)
        while True:
            try:
                file = path.open(encoding="utf-8")
            except OSError:
                return None
            fcntl.flock(file, fcntl.LOCK_SH)
            if os.fstat(file.fileno()).st_nlink:
                break
            file.close()  # removed between the two lines above
        try:
            entry = _parsed(key, file.read(), time.time())
        except (ValueError, KeyError, TypeError):
            file.close()
            raise Damaged(path, "the entry cannot be read") from None
        if former := self._held.pop(key, None):
            former.close()
        self._held[key] = file
        with contextlib.suppress(OSError):
            os.utime(path)
        return entry

    def place(self, files: Mapping[str, Blob], folder: Path) -> None:
        """Copy files to their names below ``folder``, and check each on the way.

        Raises:
            Damaged: one is missing or has another sha256.
        """
        for name, blob in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_checked(self._blob(blob.sha256), target, blob)

    def checked(self, blob: Blob) -> Path:
        """A file of the cache, to be read where it lies, whose sha256 is right now.

        Raises:
            Damaged: it is missing or has another sha256.
        """
        path = self._blob(blob.sha256)
        try:
            found = digest_of(path)
        except OSError:
            raise Damaged(path, "a file is missing") from None
        if found != blob:
            raise Damaged(path, "a file has another sha256")
        return path

    def add(self, entry: Entry, files: Mapping[str, Path], bundle: Mapping[str, Path]) -> Entry:
        """Keep an entry with these files, which may then be changed or removed.

        Raises:
            TooLarge: it alone is past the limit.
            OSError: the folder cannot be written.
        """
        with self.scratch() as scratch:
            digests: dict[Path, Blob] = {}
            made = {
                p: digests.setdefault(p, digest_of(p)) for p in (*files.values(), *bundle.values())
            }
            entry = Entry(
                entry.key, entry.stage, entry.recipe, entry.made, entry.seconds, entry.facts,
                {name: made[path] for name, path in files.items()},
                {name: made[path] for name, path in bundle.items()},
            )  # fmt: skip
            if sum(entry.blobs.values()) > self.limit:
                raise TooLarge
            for path, blob in made.items():
                if not self._has(blob):
                    duplicate(path, scratch / blob.sha256)
            partial = scratch / "entry"
            partial.write_text(_text(entry), encoding="utf-8")
            with self._exclusive():
                for path, blob in made.items():
                    if not self._has(blob):
                        if not (scratch / blob.sha256).exists():  # evicted since
                            duplicate(path, scratch / blob.sha256)
                        os.replace(scratch / blob.sha256, self._blob(blob.sha256))
                os.replace(partial, self._entry(entry.key))
                self._evict(keep=entry.key)
        return entry

    def drop(self, key: str, damage: Damaged | None = None) -> None:
        """Remove an entry, and the file that was found damaged, for whoever else names it."""
        if held := self._held.pop(key, None):
            held.close()
        with self._exclusive():
            self._entry(key).unlink(missing_ok=True)
            if damage is not None and damage.path.parent == self._blobs:
                damage.path.unlink(missing_ok=True)
            self._sweep(self.entries())

    def entries(self) -> list[Entry]:
        """All that can be read, the least recently used first."""
        found = []
        for path in self._entries.glob("*.json"):
            try:
                used = path.stat().st_mtime
                found.append(_parsed(path.stem, path.read_text(encoding="utf-8"), used))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sorted(found, key=lambda entry: entry.used)

    def remove(self, entries: Iterable[Entry]) -> tuple[int, int]:
        """Remove entries that no run uses; how many went, and how many were in use."""
        with self._exclusive():
            removed = [self._unlink_unused(entry) for entry in entries]
            self._sweep(self.entries())
        return sum(removed), len(removed) - sum(removed)

    def size(self, entries: Iterable[Entry]) -> int:
        """Bytes on disk; what several entries share counts once."""
        blobs: dict[str, int] = {}
        for entry in entries:
            blobs |= entry.blobs
        return sum(blobs.values())

    def release(self) -> None:
        """Let entries that were found be removed again."""
        for file in self._held.values():
            file.close()
        self._held.clear()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the cache's disk, which is removed at the end, or by the next writer if
        this one is killed."""
        for folder in (self._entries, self._blobs, self._scratch):
            folder.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            self._clear_scratch()
            folder = Path(tempfile.mkdtemp(dir=self._scratch))
            lock = (folder / "lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.close()

    def _clear_scratch(self) -> None:
        for folder in self._scratch.iterdir():
            with contextlib.suppress(OSError), (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)

    def _evict(self, keep: str) -> None:
        left = self.entries()
        for entry in list(left):
            if self.size(left) <= self.limit:
                break
            if entry.key != keep and self._unlink_unused(entry):
                left.remove(entry)
        self._sweep(left)

    def _unlink_unused(self, entry: Entry) -> bool:
        path = self._entry(entry.key)
        try:
            with path.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except BlockingIOError:
            return False
        except FileNotFoundError:
            pass
        return True

    def _sweep(self, entries: Iterable[Entry]) -> None:
        """Remove blobs that no entry names."""
        named = {sha for entry in entries for sha in entry.blobs}
        if self._blobs.is_dir():
            for path in self._blobs.iterdir():
                if path.name not in named:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _has(self, blob: Blob) -> bool:
        try:
            return self._blob(blob.sha256).stat().st_size == blob.bytes
        except OSError:
            return False

    def _entry(self, key: str) -> Path:
        return self._entries / f"{key}.json"

    def _blob(self, sha256: str) -> Path:
        return self._blobs / sha256


def _text(entry: Entry) -> str:
    body = {
        "format": FORMAT, "stage": entry.stage, "recipe": entry.recipe, "made": entry.made,
        "seconds": entry.seconds, "facts": entry.facts,
        "files": {name: [b.sha256, b.bytes] for name, b in entry.files.items()},
        "bundle": {name: [b.sha256, b.bytes] for name, b in entry.bundle.items()},
    }  # fmt: skip
    plain = json.dumps(body, default=str)
    return json.dumps({"sha256": hashlib.sha256(plain.encode()).hexdigest()}) + "\n" + plain + "\n"


def _parsed(key: str, text: str, used: float) -> Entry:
    """Raises ValueError, KeyError or TypeError where the text is not as it was written."""
    head, plain = text.splitlines()
    if json.loads(head)["sha256"] != hashlib.sha256(plain.encode()).hexdigest():
        raise ValueError("another sha256")
    body = json.loads(plain)
    if body["format"] != FORMAT:
        raise ValueError("another format")
    return Entry(
        key, body["stage"], body["recipe"], body["made"], body["seconds"], body["facts"],
        {name: Blob(*facts) for name, facts in body["files"].items()},
        {name: Blob(*facts) for name, facts in body["bundle"].items()},
        used,
    )  # fmt: skip
