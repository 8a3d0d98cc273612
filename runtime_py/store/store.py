"""A local container for sessions, messages and cached prefixes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.store import attach, jsonl, records
from runtime_py.store.blocks import BLOCK, Slots
from runtime_py.store.database import Database
from runtime_py.store.prefixes import Prefix, Prefixes
from runtime_py.store.records import Message, StoredSession
from runtime_py.store.sessions import Sessions

if TYPE_CHECKING:
    from runtime_py.llm import LLM
    from runtime_py.resumable import Resumable
    from runtime_py.sessions import Session
    from runtime_py.snapshots import Snapshot
    from runtime_py.store.prefix_cache import PrefixCache

MAX_BYTES = 2_000_000_000
"""Limit of a new store."""
LEAST, MOST = 1 << 20, 1 << 48


@dataclass(frozen=True)
class StoreStats:
    """
    Attributes:
        file_bytes: size of the file.
        used_bytes: of it, what holds something.
        max_bytes: the limit.
        prefix_bytes: of cached prefixes.
        prefixes: cached prefixes of each program and adapter.
    """

    sessions: int
    messages: int
    file_bytes: int
    used_bytes: int
    max_bytes: int
    prefix_bytes: int
    prefixes: tuple[Prefix, ...]


class Store(Sessions):
    """One SQLite file with sessions, their messages, and what programs remember of texts.

    Threads and processes may share it: each write is whole or not there at all, also when the
    process is killed, and waits for those of others. Where the file would grow beyond its limit,
    the cached prefixes that were not used for longest go; messages never do.

    Args:
        path: the file; it is made, for its owner alone, if there is none.
        max_bytes: limit of the file from now on; None keeps what it has (2 GB in a new one).
        wait_seconds: how long to wait for another process that writes.
        create: make the file if there is none; otherwise that is an error.

    Attributes:
        prefixes: what programs remember of the beginnings of texts.

    Raises:
        ArgumentError: an argument has the wrong type or value.
        BundleRuntimeError: the file is no store, of a later version, damaged, or cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        wait_seconds: float = 30.0,
        create: bool = True,
    ) -> None:
        if max_bytes is not None and (type(max_bytes) is not int or not LEAST <= max_bytes < MOST):
            raise ArgumentError(
                f"max_bytes must be a whole number from {LEAST} to {MOST - 1}, not {max_bytes!r}"
            )
        database = Database(path, wait_seconds=wait_seconds, create=create)
        super().__init__(database, self._make_room)
        self.prefixes = Prefixes(database)
        self._names: WeakKeyDictionary[Resumable, str] = WeakKeyDictionary()
        try:
            self._limit(max_bytes)
        except BaseException:
            database.close()
            raise

    def _limit(self, max_bytes: int | None) -> None:
        present = self._database.fact("max_bytes")
        wanted = max_bytes or present or MAX_BYTES
        if wanted == present:
            return
        with self._database.write():
            self._database.set_fact("max_bytes", wanted)
            if wanted < present:
                self._make_room(0)
        if self.path.stat().st_size > wanted:
            self._database.vacuum()

    def _make_room(self, size: int) -> None:
        if not self.prefixes.make_room(size):
            raise BundleRuntimeError(
                f"the store is full: its messages alone need more than {self.max_bytes} bytes",
                where=str(self.path), fix="remove sessions, or open it with a larger max_bytes",
            )  # fmt: skip

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    @property
    def max_bytes(self) -> int:
        """Limit of the file."""
        return self._database.fact("max_bytes")

    def open(
        self, llm: LLM, id: str = "new", *, overflow: Any = None, feed: bool | None = None
    ) -> Session:
        """A session of a loaded bundle that goes on where it was saved, with its messages, its
        sampling settings, and what is cached of its text. Of a session that was held with another
        program or adapter, the messages and settings are taken.

        Args:
            id: of a stored session; ``last``, the one that was written last; another id, or
                ``new`` for any, begins one, which ``save`` writes.
            overflow: see ``LLM.session``.
            feed: whether to feed now what is not cached any more. None: if there are no messages,
                as the next turn feeds it otherwise.

        Raises:
            BundleRuntimeError: there is no last session, or the store cannot be read.
        """
        session = llm.session(overflow=overflow)
        messages = self.resume(session, id)
        name = self._names[session]
        if self.has(name):
            tokens = self.tokens(name) if self._is_of(session, name) else ()
            if tokens[session.position :] and (not messages if feed is None else feed):
                session.append(tokens[session.position :])
            session.defaults = attach.sampling_with(llm.defaults, self.session(name).settings)
        session.messages = [*messages]
        return session

    def resume(self, text: LLM | Session, id: str = "new") -> list[dict[str, Any]]:
        """Let the text of an LLM or a session begin with what is cached of a stored session, and
        return its messages. ``save`` then writes that session. Arguments are those of ``open``.
        """
        name = records.new_id() if id == "new" else id
        if name != "last" and not self.has(name):
            self._names[text] = name
            return []
        name = self.session(name).id
        if self._is_of(text, name):
            attach.resume(self.prefixes, text, self.tokens(name))
        self._names[text] = name
        return [each.message for each in self.messages(name)]

    def _is_of(self, text: Resumable, name: str) -> bool:
        record = self.session(name)
        return (record.program, record.adapter) == text.digests

    def save(
        self,
        text: LLM | Session,
        messages: Sequence[Message] | None = None,
        *,
        stats: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> str:
        """Write a session with its messages and its cache, whole or not at all; returns its id.
        Only messages and tokens that are not stored yet are written. What neither ``open`` nor
        ``resume`` began, such as a fork, becomes a new session.

        Args:
            messages: of the conversation; None: those of the session.
            stats: of the last answer: ``generation.stats.as_dict()``.
            settings: to keep with it, such as temperature; None keeps those it has.
            id: save it under this one.
        """
        name = id or self._names.get(text) or records.new_id()
        said = list(getattr(text, "messages", ()) if messages is None else messages)
        snapshot, slots = attach.taken(text)
        model = text.manifest["name"]
        with self._database.write():
            self.write(
                name, said, stats=attach.stats_of(stats, said), settings=settings,
                snapshot=snapshot, slots=slots, model=model,
            )  # fmt: skip
            if snapshot is None:
                program, adapter = text.digests
                self.set_tokens(
                    name, getattr(text, "tokens", ()), model=model, program=program, adapter=adapter
                )
        self._names[text] = name
        return name

    def save_prefix(self, text: LLM | Session) -> int:
        """Store what the program remembers of a text, such as of a system prompt, without a
        session; returns how many of its tokens are stored."""
        snapshot, slots = attach.taken(text)
        if snapshot is None:
            raise attach.stateless(text)
        return self.prefixes.save(snapshot, slots, model=text.manifest["name"])

    def attach(self, llm: LLM, *, min_tokens: int = BLOCK, save: bool = True) -> PrefixCache:
        """From now on, prompts of all texts of a loaded bundle go on from what is stored of their
        beginnings, and are stored; see ``PrefixCache``. Close it before the store."""
        from runtime_py.store.prefix_cache import PrefixCache

        return PrefixCache(self.prefixes, llm, min_tokens=min_tokens, save=save)

    def write(
        self,
        id: str,
        messages: Sequence[Message] | None = None,
        *,
        stats: Mapping[int, Mapping[str, Any]] | None = None,
        settings: Mapping[str, Any] | None = None,
        snapshot: Snapshot | None = None,
        slots: Slots | None = None,
        model: str = "",
    ) -> int:
        """Write all of a session in one transaction; it is made if there is none.

        Args:
            messages: all of them; None leaves them as they are.
            stats: index of a message -> stats of its generation.
            snapshot: what the program remembers at the session's end.
            slots: see ``Prefixes.save``; None stores the tensors whole.

        Returns:
            number of tokens of the snapshot that are stored.
        """
        with self._database.write():
            if id not in records.RESERVED and not self.has(id):
                self.create(id, model=model)
            if messages is not None:
                self.replace_messages(id, messages, stats or {})
            if settings is not None:
                self.set_settings(id, settings)
            if snapshot is None:
                return 0
            self.set_tokens(
                id, snapshot.tokens, model=model, program=snapshot.program,
                adapter=snapshot.adapter,
            )  # fmt: skip
            return self.prefixes.save(snapshot, slots or {}, model=model)

    def prune(self, *, keep: int) -> int:
        """Remove all sessions but those that were written last; returns how many."""
        if type(keep) is not int or keep < 0:
            raise ArgumentError(f"keep must be a whole number from 0, not {keep!r}")
        with self._database.write():
            old: list[StoredSession] = self.sessions()[keep:]
            for session in old:
                self.delete(session.id)
        return len(old)

    def export(self, id: str) -> Iterator[str]:
        """Lines of JSON: the session, then each of its messages."""
        with self._database.read():
            session, messages = self.session(id), self.messages(id)
        return jsonl.lines(session, messages)

    def import_(self, lines: Iterable[str], *, id: str | None = None) -> str:
        """Read what ``export`` gave, whole or not at all; returns the new session's id.

        Raises:
            BundleRuntimeError: a line is none of ``export``; its number is told.
        """
        head, messages = jsonl.parsed(lines)
        with self._database.write():
            name = self.create(
                id, title=head["title"], model=head["model"], settings=head["settings"]
            )
            for each in messages:
                self.add(
                    name, each["message"], stats=each.get("stats"), created=each.get("created")
                )
        return name

    def stats(self) -> StoreStats:
        with self._database.read() as connection:
            prefixes = self.prefixes.listed()
            sessions, messages = connection.execute(
                "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM messages)"
            ).fetchone()
            return StoreStats(
                sessions, messages, self.path.stat().st_size, self._database.used_bytes(),
                self.max_bytes, sum(each.bytes for each in prefixes), tuple(prefixes),
            )  # fmt: skip

    def vacuum(self) -> None:
        """Give the room of what was removed back to the disk."""
        self._database.vacuum()

    def check(self) -> list[str]:
        """What is wrong in the file; nothing if it is sound."""
        return self._database.check()

    def close(self) -> None:
        """Close the file. Afterwards nothing can be read or written."""
        if not self._database.closed:
            self.prefixes.leave()
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}{' (closed)' if self._database.closed else ''}>"
