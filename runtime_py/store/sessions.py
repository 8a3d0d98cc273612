"""Sessions and their messages in a store."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from runtime_py.errors import ArgumentError, BundleRuntimeError, MissingSessionError, shown
from runtime_py.store.database import Database
from runtime_py.store.records import (
    Message,
    StoredMessage,
    StoredSession,
    checked_id,
    checked_text,
    checked_time,
    json_object,
    json_of,
    message_json,
    new_id,
    object_json,
    title_of,
)
from runtime_py.store.token_bytes import WIDTH, packed, unpacked

_COLUMNS = (
    "s.id, s.title, s.created, s.updated, s.model, s.program, s.adapter, s.settings, s.branch_of,"
    " (SELECT count(*) FROM messages m WHERE m.session = s.id), length(s.tokens)"
)
Stats = Mapping[str, Any] | None


class Sessions:
    """
    Args:
        database: each method is one transaction, or part of the caller's.
        room: makes room for as many bytes, or raises.
    """

    def __init__(self, database: Database, room: Callable[[int], None]) -> None:
        self._database, self._room = database, room

    def create(
        self, id: str | None = None, *, title: str = "", model: str = "", program: str = "",
        adapter: str = "", settings: Mapping[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """Begin a session; returns its id.

        Raises:
            ArgumentError: there is a session of this id.
        """
        name = new_id() if id is None else checked_id(id)
        values = [checked_text("title", title), *(
            checked_text(key, value)
            for key, value in (("model", model), ("program", program), ("adapter", adapter))
        ), object_json("settings", settings or {})]  # fmt: skip
        now = time.time()
        with self._database.write() as connection:
            self._room(sum(map(len, values)))
            if self._known(connection, name):
                raise ArgumentError(
                    f"there is a session {name} already", fix="another id, or none for a new one"
                )
            connection.execute(
                "INSERT INTO sessions (id, created, updated, title, model, program, adapter,"
                " settings, tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, x'')",
                (name, now, now, *values),
            )
        return name

    def session(self, id: str) -> StoredSession:
        """
        Args:
            id: or ``last``, the one that was written last.

        Raises:
            MissingSessionError: there is none of this id.
        """
        with self._database.read() as connection:
            if id == "last":
                rows = _sessions(connection, "ORDER BY s.updated DESC, s.rowid DESC LIMIT 1")
                if not rows:
                    raise self._missing(
                        "the store has no session", "begin one", MissingSessionError
                    )
            else:
                rows = _sessions(connection, "WHERE s.id = ?", checked_id(id))
                if not rows:
                    raise self._missing(
                        f"there is no session {id}",
                        "llm-export store ls FILE lists them",
                        MissingSessionError,
                    )
        return rows[0]

    def sessions(self, limit: int | None = None) -> list[StoredSession]:
        """Those that were written last first, at most ``limit``."""
        if limit is not None and (type(limit) is not int or not 0 <= limit < 2**63):
            raise ArgumentError(f"limit must be a whole number from 0 or None, not {shown(limit)}")
        with self._database.read() as connection:
            return _sessions(
                connection, "ORDER BY s.updated DESC, s.rowid DESC LIMIT ?",
                -1 if limit is None else limit,
            )  # fmt: skip

    def has(self, id: str) -> bool:
        with self._database.read() as connection:
            return self._known(connection, checked_id(id))

    def rename(self, id: str, title: str) -> None:
        """Give it another title; it counts as no change of its text."""
        text = checked_text("title", title)
        with self._writing(id, touch=False) as (connection, name):
            connection.execute("UPDATE sessions SET title = ? WHERE id = ?", (text, name))

    def set_settings(self, id: str, settings: Mapping[str, Any]) -> None:
        """Replace the sampling settings and whatever else is kept with it."""
        text = object_json("settings", settings)
        with self._writing(id, size=len(text)) as (connection, name):
            connection.execute("UPDATE sessions SET settings = ? WHERE id = ?", (text, name))

    def delete(self, id: str) -> None:
        """Remove a session with its messages. Cached prefixes go by themselves when they are not
        used."""
        with self._writing(id, touch=False) as (connection, name):
            connection.execute("DELETE FROM sessions WHERE id = ?", (name,))

    def messages(self, id: str) -> list[StoredMessage]:
        """In their order."""
        name = self.session(id).id
        with self._database.read() as connection:
            return [
                StoredMessage(id, json_object(body), json_object(stats) if stats else None, created)
                for id, body, stats, created in connection.execute(
                    "SELECT id, body, stats, created FROM messages WHERE session = ?"
                    " ORDER BY place",
                    (name,),
                )
            ]

    def add(
        self, id: str, message: Message, *, stats: Stats = None, created: float | None = None
    ) -> int:
        """Append a message; returns its id.

        Args:
            stats: of the generation that made it.
            created: seconds since 1970; None is now.
        """
        when = time.time() if created is None else checked_time(created)
        body = message_json(message)
        said = None if stats is None else object_json("stats", stats)
        with self._writing(id, size=_bytes(body, said)) as (connection, name):
            title = title_of(message) if message["role"] == "user" else ""
            if title:
                connection.execute(
                    "UPDATE sessions SET title = ? WHERE id = ? AND title = ''", (title, name)
                )
            row = connection.execute(
                "INSERT INTO messages (session, place, body, stats, created) SELECT ?,"
                " coalesce(max(place), 0) + 1, ?, ?, ? FROM messages WHERE session = ?",
                (name, body, said, when, name),
            )
            assert row.lastrowid is not None
            return row.lastrowid

    def edit(self, id: str, message_id: int, message: Message, *, stats: Stats = None) -> None:
        """Replace a message. Those after it stay: ``delete_messages`` removes them."""
        body = message_json(message)
        said = None if stats is None else object_json("stats", stats)
        with self._writing(id, size=_bytes(body, said)) as (connection, name):
            changed = connection.execute(
                "UPDATE messages SET body = ?, stats = ? WHERE id = ? AND session = ?",
                (body, said, *self._message(name, message_id)),
            )
            self._require(changed, name, message_id)

    def delete_message(self, id: str, message_id: int) -> None:
        """Remove one message."""
        with self._writing(id) as (connection, name):
            changed = connection.execute(
                "DELETE FROM messages WHERE id = ? AND session = ?", self._message(name, message_id)
            )
            self._require(changed, name, message_id)

    def delete_messages(self, id: str, *, after: int | None = None) -> int:
        """Remove the messages behind one of them, or all; returns how many."""
        with self._writing(id) as (connection, name):
            if after is None:
                return connection.execute(
                    "DELETE FROM messages WHERE session = ?", (name,)
                ).rowcount
            return connection.execute(
                "DELETE FROM messages WHERE session = ? AND place > ?",
                (name, self._place(connection, name, after)),
            ).rowcount

    def branch(self, id: str, *, after: int | None = None, title: str | None = None) -> str:
        """A new session with a copy of the messages up to one of them, or of all; returns its id.
        Both go on from the same cached prefixes.
        """
        new = new_id()
        with self._writing(id, touch=False) as (connection, name):
            place = 2**62 if after is None else self._place(connection, name, after)
            size = connection.execute(
                "SELECT coalesce(sum(length(body)), 0) FROM messages WHERE session = ?", (name,)
            ).fetchone()[0]
            self._room(4 * size)  # characters of up to 4 bytes
            connection.execute(
                "INSERT INTO sessions (id, title, created, updated, model, program, adapter,"
                " settings, branch_of, tokens) SELECT ?, coalesce(?, title), ?, ?, model, program,"
                " adapter, settings, id, iif(?, tokens, x'') FROM sessions WHERE id = ?",
                (
                    new, None if title is None else checked_text("title", title),
                    time.time(), time.time(), after is None, name,
                ),
            )  # fmt: skip
            connection.execute(
                "INSERT INTO messages (session, place, body, stats, created) SELECT ?, place, body,"
                " stats, created FROM messages WHERE session = ? AND place <= ? ORDER BY place",
                (new, name, place),
            )
        return new

    def replace_messages(
        self, id: str, messages: Sequence[Message], stats: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """Make these the session's messages. Those at the beginning that are the same stay.

        Args:
            stats: index of a message -> its stats.
        """
        bodies = [message_json(message) for message in messages]
        with self._writing(id) as (_, name):
            old = self.messages(name)
            same = 0
            while same < min(len(old), len(bodies)) and bodies[same] == json_of(
                "a message", old[same].message
            ):
                same += 1
            if same < len(old):
                self.delete_messages(name, after=old[same - 1].id if same else None)
            for index in range(same, len(bodies)):
                self.add(name, messages[index], stats=stats.get(index))

    def set_tokens(
        self, id: str, tokens: Sequence[int], *, model: str, program: str, adapter: str
    ) -> None:
        """Write down what the KV cache of a program held of a session."""
        with self._writing(id, size=len(tokens) * WIDTH) as (connection, name):
            connection.execute(
                "UPDATE sessions SET tokens = ?, model = ?, program = ?, adapter = ? WHERE id = ?",
                (packed(tokens), checked_text("model", model), program, adapter, name),
            )

    def tokens(self, id: str) -> tuple[int, ...]:
        """What ``set_tokens`` wrote last."""
        name = self.session(id).id
        with self._database.read() as connection:
            row = connection.execute("SELECT tokens FROM sessions WHERE id = ?", (name,)).fetchone()
            return unpacked(row[0]) if row else ()

    @contextlib.contextmanager
    def _writing(
        self, id: str, *, touch: bool = True, size: int = 0
    ) -> Iterator[tuple[sqlite3.Connection, str]]:
        """A transaction on a session, which must exist: (connection, its id)."""
        with self._database.write() as connection:
            name = self.session(id).id
            self._room(size)
            if touch:
                connection.execute(
                    "UPDATE sessions SET updated = max(updated, ?) WHERE id = ?",
                    (time.time(), name),
                )
            yield connection, name

    @staticmethod
    def _known(connection: sqlite3.Connection, name: str) -> bool:
        found = connection.execute("SELECT 1 FROM sessions WHERE id = ?", (name,)).fetchone()
        return found is not None

    def _place(self, connection: sqlite3.Connection, name: str, message_id: int) -> int:
        row = connection.execute(
            "SELECT place FROM messages WHERE id = ? AND session = ?",
            self._message(name, message_id),
        ).fetchone()
        if row is None:
            raise self._no_message(name, message_id)
        return int(row[0])

    @staticmethod
    def _message(name: str, message_id: Any) -> tuple[int, str]:
        if type(message_id) is not int or not 0 <= message_id < 2**63:
            raise ArgumentError(f"a message's id must be a whole number, not {shown(message_id)}")
        return message_id, name

    def _require(self, changed: sqlite3.Cursor, name: str, message_id: int) -> None:
        if not changed.rowcount:
            raise self._no_message(name, message_id)

    def _no_message(self, name: str, message_id: int) -> BundleRuntimeError:
        return self._missing(
            f"session {name} has no message {message_id}", "an id that messages() has returned"
        )

    def _missing(
        self, what: str, fix: str, kind: type[BundleRuntimeError] = BundleRuntimeError
    ) -> BundleRuntimeError:
        return kind(what, where=str(self._database.path), fix=fix)


def _bytes(*texts: str | None) -> int:
    return sum(len(text.encode()) for text in texts if text)


def _sessions(connection: sqlite3.Connection, rest: str, *values: Any) -> list[StoredSession]:
    found = connection.execute(f"SELECT {_COLUMNS} FROM sessions s {rest}", values).fetchall()
    return [
        StoredSession(
            id, title, created, updated, model, program, adapter, json_object(settings), branch_of,
            messages, size // WIDTH,
        )
        for id, title, created, updated, model, program, adapter, settings, branch_of, messages,
            size in found
    ]  # fmt: skip
