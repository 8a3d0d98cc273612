"""The trees of cached prefixes in the file: a node for each block of tokens of a text.

Siblings are ordered by their tokens. Those that have most in common with a text are therefore
beside its place, and the longest stored beginning of it is found by two steps in an index for each
of its blocks.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import NamedTuple

from runtime_py.store.blocks import BLOCK
from runtime_py.store.token_bytes import WIDTH, common

_PART = 64 << 20
"""Bytes of a BLOB; SQLite takes at most 1e9."""
FULL = BLOCK * WIDTH
ROWS, STATE = "rows", "state"


class Tree(NamedTuple):
    """``whole``: whether there are tensors that every token changes."""

    id: int
    root: int
    slots: dict[str, int]
    whole: bool


class Step(NamedTuple):
    """A block, and how many of its tokens are those of the text."""

    block: int
    tokens: int


def tree_of(connection: sqlite3.Connection, program: str, adapter: str) -> Tree | None:
    """The tree of a program and adapter, if there is one."""
    row = connection.execute(
        "SELECT p.id, b.id, p.slots, p.whole FROM programs p JOIN blocks b"
        " ON b.program = p.id AND b.parent IS NULL WHERE p.program = ? AND p.adapter = ?",
        (program, adapter),
    ).fetchone()
    return Tree(row[0], row[1], json.loads(row[2]), bool(row[3])) if row else None


def full_blocks(connection: sqlite3.Connection, tree: Tree, wanted: bytes) -> list[int]:
    """Ids of the stored full blocks that a text begins with."""
    found, parent = [], tree.root
    for start in range(0, len(wanted) - FULL + 1, FULL):
        block = child(connection, parent, wanted[start : start + FULL])
        if block is None:
            break
        found.append(block)
        parent = block
    return found


def walk(connection: sqlite3.Connection, tree: Tree, wanted: bytes) -> list[Step]:
    """The longest way down that a text begins with."""
    full = full_blocks(connection, tree, wanted)
    steps = [Step(block, BLOCK) for block in full]
    parent, rest = (full[-1] if full else tree.root), wanted[len(full) * FULL :]
    if not tree.whole:
        return steps + nearest(connection, parent, rest[:FULL])
    # Only where a state was stored can a text go on.
    while True:
        ends = [rest[: end * WIDTH] for end in range(min(len(rest) // WIDTH, BLOCK), 0, -1)]
        found = connection.execute(
            "SELECT b.id, length(b.tokens) FROM blocks b WHERE b.parent = ? AND b.tokens IN"
            f" ({','.join('?' * len(ends))}) AND EXISTS (SELECT 1 FROM payloads p WHERE"
            " p.block = b.id AND p.kind = 'state') ORDER BY length(b.tokens) DESC LIMIT 1",
            (parent, *ends),
        ).fetchone()
        if found:
            return [*steps, Step(found[0], found[1] // WIDTH)]
        if not steps:
            return []
        rest = wanted[(len(steps) - 1) * FULL : len(steps) * FULL]
        steps.pop()
        parent = steps[-1].block if steps else tree.root


def payload(connection: sqlite3.Connection, block: int, kind: str) -> bytes | None:
    """What ``put`` wrote; None if it is missing or damaged."""
    parts: list[bytes] = []
    for part, crc, data in connection.execute(
        "SELECT part, crc, data FROM payloads WHERE block = ? AND kind = ? ORDER BY part",
        (block, kind),
    ):
        if part != len(parts) or zlib.crc32(data) != crc:
            return None
        parts.append(data)
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def child(connection: sqlite3.Connection, parent: int, tokens: bytes) -> int | None:
    """The node of these tokens, if there is one."""
    row = connection.execute(
        "SELECT id FROM blocks WHERE parent = ? AND tokens = ?", (parent, tokens)
    ).fetchone()
    return row[0] if row else None


def nearest(connection: sqlite3.Connection, parent: int, rest: bytes) -> list[Step]:
    """The child that has most in common with the rest of a text: it is beside the rest's place."""
    best: list[Step] = []
    for order in ("<= ? ORDER BY tokens DESC", "> ? ORDER BY tokens"):
        row = connection.execute(
            f"SELECT id, tokens FROM blocks WHERE parent = ? AND tokens {order} LIMIT 1",
            (parent, rest),
        ).fetchone()
        count = common(row[1], rest) if row else 0
        if count > (best[0].tokens if best else 0):
            best = [Step(row[0], count)]
    return best


def put(connection: sqlite3.Connection, block: int, kind: str, data: bytes) -> None:
    """Write the tensors of a node."""
    for part, start in enumerate(range(0, len(data), _PART)):
        piece = data[start : start + _PART]
        connection.execute(
            "INSERT INTO payloads (block, kind, part, crc, data) VALUES (?, ?, ?, ?, ?)",
            (block, kind, part, zlib.crc32(piece), piece),
        )
