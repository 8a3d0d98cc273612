"""The content-addressed store of stage results.

``entries/KEY.json`` lists the files of a stage's result with their sha256. The files are stored as
``blobs/SHA256``, once each, even if several entries share them. Entries and blobs are written
under a temporary name and renamed. There are three kinds of locks: one on the folder while files
are added or removed, one on each entry while a run uses it, and one on each writer's scratch
folder.
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

from llm_export.stage_cache.blobs import Blob, Damaged, copy_checked, digest_of, duplicate, remove
from llm_export.stage_cache.regular import opened, text_of

FORMAT = 1


class TooLarge(Exception):
    """An entry is larger than the limit of the whole cache."""


@dataclass(frozen=True)
class Entry:
    """The cached result of one stage.

    Attributes:
        stage, recipe, made: for display: names, and the time in UTC.
        seconds: duration of the stage.
        facts: metadata, plain data.
        files: name -> file of the entry that is not part of the bundle.
        bundle: path in the bundle's folder -> file; all files that it had after the stage.
        used: time of last use, in seconds since the epoch.
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
        limit: bytes; above it the least recently used entries are removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._entries, self._blobs = folder / "entries", folder / "blobs"
        self._scratch = folder / "tmp"
        self._held: dict[str, IO[bytes]] = {}

    def find(self, key: str) -> Entry | None:
        """Find an entry, mark it as used, and lock it against removal until ``release``.

        Raises:
            Damaged: there is such an entry and it cannot be read.
        """
        path = self._entry(key)
        while True:
            try:
                file = opened(path)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise Damaged(path, f"the entry cannot be read: {error.strerror}") from None
            fcntl.flock(file, fcntl.LOCK_SH)
            if os.fstat(file.fileno()).st_nlink:
                break
            file.close()  # removed between the two lines above
        try:
            entry = _parsed(key, file.read().decode("utf-8"), time.time())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
            Damaged: one cannot be read or has another sha256.
        OSError: the folder cannot be written.
        """
        for name, blob in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_checked(self._blob(blob.sha256), target, blob)

    def checked(self, blob: Blob) -> Path:
        """The path of a cached file, after verifying its sha256; read it in place.

        Raises:
            Damaged: it is missing or has another sha256.
        """
        path = self._blob(blob.sha256)
        if digest_of(path) != blob:
            raise Damaged(path, "a file has another sha256")
        return path

    def add(self, entry: Entry, files: Mapping[str, Path], bundle: Mapping[str, Path]) -> Entry:
        """Store an entry with copies of these files.

        Raises:
            TooLarge: the entry alone exceeds the limit.
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
                        self._put(scratch / blob.sha256, self._blob(blob.sha256))
                self._put(partial, self._entry(entry.key))
                self._evict(keep=entry.key)
        return entry

    def _put(self, made: Path, place: Path) -> None:
        if place.is_dir():
            remove(place)
        os.replace(made, place)

    def drop(self, key: str, damage: Damaged | None = None) -> None:
        """Remove an entry, and the damaged file, which other entries may share."""
        if held := self._held.pop(key, None):
            held.close()
        with self._exclusive():
            remove(self._entry(key))
            if damage is not None and damage.path.parent == self._blobs:
                remove(damage.path)
            self._sweep(self.entries())

    def entries(self) -> list[Entry]:
        """All readable entries, the least recently used first."""
        found = []
        for path in self._entries.glob("*.json"):
            try:
                used = path.stat().st_mtime
                found.append(_parsed(path.stem, text_of(path), used))
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
        return sorted(found, key=lambda entry: entry.used)

    def remove(self, entries: Iterable[Entry]) -> tuple[int, int]:
        """Remove entries that no run uses. Returns the number removed, and the number in use."""
        with self._exclusive():
            removed = [self._unlink_unused(entry) for entry in entries]
            self._sweep(self.entries())
        return sum(removed), len(removed) - sum(removed)

    def size(self, entries: Iterable[Entry]) -> int:
        """Bytes on disk; shared files count once."""
        blobs: dict[str, int] = {}
        for entry in entries:
            blobs |= entry.blobs
        return sum(blobs.values())

    def release(self) -> None:
        """Unlock the entries that were found."""
        for file in self._held.values():
            file.close()
        self._held.clear()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Context manager: a temporary folder on the cache's disk. If this process is killed, the
        next writer removes it."""
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
            with opened(path) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except BlockingIOError:
            return False
        except FileNotFoundError:
            pass
        except OSError:  # not as a cache writes it
            remove(path)
        return True

    def _sweep(self, entries: Iterable[Entry]) -> None:
        """Remove blobs that no entry names."""
        named = {sha for entry in entries for sha in entry.blobs}
        if self._blobs.is_dir():
            for path in self._blobs.iterdir():
                if path.name not in named:
                    remove(path)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _has(self, blob: Blob) -> bool:
        try:
            path = self._blob(blob.sha256)
            return path.is_file() and path.stat().st_size == blob.bytes
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
