"""The tables of a store, and how a file of an earlier version becomes one of this version."""

from __future__ import annotations

APPLICATION_ID = 0x4C4C4D53
"""Marks a SQLite file as a store: "LLMS"."""

PAGE_SIZE = 16384
"""Bytes. Tensors of some MB are read 3 times as fast as from pages of 4096 bytes."""

_FIRST = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('max_bytes', 0), ('tick', 0);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    model TEXT NOT NULL,
    program TEXT NOT NULL,
    adapter TEXT NOT NULL,
    settings TEXT NOT NULL,
    branch_of TEXT,
    tokens BLOB NOT NULL
);
CREATE INDEX sessions_updated ON sessions (updated);

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    body TEXT NOT NULL,
    stats TEXT,
    created REAL NOT NULL,
    UNIQUE (session, place)
);

CREATE TABLE programs (
    id INTEGER PRIMARY KEY,
    program TEXT NOT NULL,
    adapter TEXT NOT NULL,
    model TEXT NOT NULL,
    slots TEXT NOT NULL,
    whole INTEGER NOT NULL,
    UNIQUE (program, adapter)
);

CREATE TABLE blocks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    program INTEGER NOT NULL REFERENCES programs (id) ON DELETE CASCADE,
    parent INTEGER REFERENCES blocks (id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    tokens BLOB NOT NULL,
    used INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (parent, tokens)
);
CREATE INDEX blocks_used ON blocks (used, start DESC);
CREATE UNIQUE INDEX blocks_root ON blocks (program) WHERE parent IS NULL;

CREATE TABLE payloads (
    block INTEGER NOT NULL REFERENCES blocks (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    part INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (block, kind, part)
);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
"""The n-th one makes version n of version n-1; 0 is an empty file. Released ones never change."""

VERSION = len(MIGRATIONS)
"""The version that this code reads and writes."""
