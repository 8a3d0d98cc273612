"""Cached beginnings of texts: keys, values and states, to go on from without feeding again."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.store.blocks import Slots, joined, rows, sizes, whole
from runtime_py.store.database import Database
from runtime_py.store.token_bytes import WIDTH, packed
from runtime_py.store.tree import (
    FULL,
    ROWS,
    STATE,
    Tree,
    child,
    full_blocks,
    nearest,
    payload,
    put,
    tree_of,
    walk,
)

if TYPE_CHECKING:
    from runtime_py.snapshots import Snapshot

_LOG = logging.getLogger("runtime_py")
_ROW = 400
"""Bytes that a block takes beside its tensors, roughly."""


@dataclass(frozen=True)
class Prefix:
    """What is stored for one program and adapter.

    Attributes:
        program, adapter: SHA-256 of their files; adapter is '' where there is none.
        model: name of the bundle.
        blocks: blocks of up to 64 tokens.
        tokens: tokens in all of them.
        bytes: of tensors and tokens.
    """

    program: str
    adapter: str
    model: str
    blocks: int
    tokens: int
    bytes: int


class Prefixes:
    """The prefixes of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._touched: dict[int, None] = {}

    def length(self, program: str, adapter: str, tokens: Sequence[int]) -> int:
        """How many tokens at the beginning of a text are stored for this program and adapter."""
        wanted = _packed(tokens)
        with self._database.read() as connection:
            tree = tree_of(connection, program, adapter)
            steps = walk(connection, tree, wanted) if tree else []
        return sum(step.tokens for step in steps)

    def load(self, program: str, adapter: str, tokens: Sequence[int]) -> Snapshot | None:
        """The longest stored beginning of a text; None if there is none for this program and
        adapter. A damaged block ends it, and is removed.
        """
        wanted = _packed(tokens)
        damaged: int | None = None
        parts: list[tuple[bytes, int]] = []
        state, furthest = None, 0
        with self._database.read() as connection:
            tree = tree_of(connection, program, adapter)
            if tree is None:
                return None
            steps = walk(connection, tree, wanted)
            for step in steps:
                data = payload(connection, step.block, ROWS)
                if data is None:
                    damaged = step.block
                    break
                parts.append((data, step.tokens))
            if steps and tree.whole and damaged is None:
                found = payload(connection, steps[-1].block, STATE)
                if found is None:
                    damaged = steps[-1].block
                else:
                    furthest, state = int.from_bytes(found[:8], "big"), found[8:]
        if damaged is not None:
            with self._database.write() as connection:
                connection.execute("DELETE FROM blocks WHERE id = ?", (damaged,))
            if tree.whole:
                return self.load(program, adapter, tokens)
        if not parts:
            return None
        self._touched |= {step.block: None for step in steps[: len(parts)]}
        count = sum(each for _, each in parts)
        from runtime_py.snapshots import Snapshot

        try:
            with guarded("a cached prefix cannot be read", where=str(self._database.path)):
                tensors, logits = joined(parts, state, tree.slots)
        except BundleRuntimeError as error:
            self.reject(program, error)
            return None
        return Snapshot(
            tuple(tokens[:count]), max(furthest, count), program, adapter, tensors, logits=logits
        )

    def save(self, snapshot: Snapshot, slots: Slots, *, model: str = "") -> int:
        """Store what is not there yet, and drop the blocks that were not used for longest where
        the store is full.

        Args:
            slots: what ``blocks.slots_of`` tells of the snapshot's program.

        Returns:
            how many of its tokens are stored: fewer, or none, where the limit leaves no room.
        """
        wanted = _packed(snapshot.tokens)
        if not wanted:
            return 0
        if unknown := set(slots) - set(snapshot.tensors):
            raise ArgumentError(f"the snapshot has no tensor {min(unknown)[:200]}")
        with self._database.write() as connection:
            tree = self._made(connection, snapshot, slots, model)
            tick = self.flush()
            path = full_blocks(connection, tree, wanted)
            self._use(connection, [tree.root, *path], tick)
            begin = len(path) * FULL
            if begin == len(wanted):
                return self._with_state(connection, path[-1], snapshot, tree, tick)
            new = self._fitting(snapshot, tree, wanted, begin, tick)
            parent = path[-1] if path else tree.root
            for tokens in new:
                parent = self._added(connection, tree, parent, begin, tokens, snapshot, tick)
                begin += len(tokens)
            return begin // WIDTH if new or not tree.whole else 0

    def flush(self) -> int:
        """Write down which blocks were used since the last time; returns the present tick."""
        with self._database.write() as connection:
            tick = self._database.fact("tick") + 1
            self._database.set_fact("tick", tick)
            self._use(connection, list(self._touched), tick)
            self._touched = {}
        return tick

    def leave(self) -> None:
        """Write down what was used, unless another process writes: it is only a hint."""
        with contextlib.suppress(BundleRuntimeError):
            if self._touched:
                self.flush()

    def make_room(self, size: int, *, before: int | None = None) -> bool:
        """Drop blocks, those not used for longest first, until ``size`` further bytes fit.

        Args:
            before: keep those that were used at this tick; None keeps none.

        Returns:
            whether they fit.
        """
        limit = self._database.fact("max_bytes")
        with self._database.write() as connection:
            while True:
                excess = self._database.used_bytes() + size * 1.02 + 65536 - limit
                if excess <= 0:
                    return True
                # No child is used later than its parent, and it comes first.
                found = connection.execute(
                    "SELECT id, bytes FROM blocks WHERE parent IS NOT NULL AND used < ?"
                    " ORDER BY used, start DESC LIMIT 256",
                    (2**62 if before is None else before,),
                ).fetchall()
                if not found:
                    return False
                for block, count in found:
                    connection.execute("DELETE FROM blocks WHERE id = ?", (block,))
                    excess -= count
                    if excess <= 0:
                        break

    def reject(self, program: str, error: BundleRuntimeError) -> None:
        """Remove those of a program, which has turned out to be damaged: it is fed again."""
        _LOG.warning("what is cached of a program is damaged, and is removed: %s", error)
        self.clear(program)

    def clear(self, program: str | None = None) -> None:
        """Remove those of one program, or all."""
        with self._database.write() as connection:
            if program is None:
                connection.execute("DELETE FROM programs")
            else:
                connection.execute("DELETE FROM programs WHERE program = ?", (program,))
            self._touched = {}

    def listed(self) -> list[Prefix]:
        """What is stored for each program and adapter, the largest first."""
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT p.program, p.adapter, p.model, count(b.id), sum(length(b.tokens)),"
                " sum(b.bytes) FROM programs p JOIN blocks b ON b.program = p.id"
                " WHERE b.parent IS NOT NULL GROUP BY p.id ORDER BY sum(b.bytes) DESC"
            ).fetchall()
        return [
            Prefix(program, adapter, model, blocks, size // WIDTH, count)
            for program, adapter, model, blocks, size, count in found
        ]

    def _made(
        self, connection: sqlite3.Connection, snapshot: Snapshot, slots: Slots, model: str
    ) -> Tree:
        """The tree of a snapshot's program. If its tensors are others than before, it begins anew:
        then another version of this runtime has written it.
        """
        found = tree_of(connection, snapshot.program, snapshot.adapter)
        rest = bool(set(snapshot.tensors) - set(slots))
        if found is not None:
            if (found.slots, found.whole) == (dict(slots), rest):
                return found
            connection.execute("DELETE FROM programs WHERE id = ?", (found.id,))
        tree = connection.execute(
            "INSERT INTO programs (program, adapter, model, slots, whole) VALUES (?, ?, ?, ?, ?)",
            (snapshot.program, snapshot.adapter, model, json.dumps(dict(slots)), rest),
        ).lastrowid
        root = connection.execute(
            "INSERT INTO blocks (program, parent, start, tokens, used, bytes)"
            " VALUES (?, NULL, 0, x'', 0, 0)",
            (tree,),
        ).lastrowid
        assert tree is not None
        assert root is not None
        return Tree(tree, root, dict(slots), rest)

    def _fitting(
        self, snapshot: Snapshot, tree: Tree, wanted: bytes, begin: int, tick: int
    ) -> list[bytes]:
        """The tokens of each block from ``begin`` on for which there is room."""
        found = [wanted[start : start + FULL] for start in range(begin, len(wanted), FULL)]
        each, last = sizes(snapshot, tree.slots)
        while found:
            count = sum(map(len, found)) // WIDTH
            if self.make_room(count * (each + WIDTH) + len(found) * _ROW + last, before=tick):
                break
            if tree.whole:
                return []
            found.pop()
        return found

    def _with_state(
        self, connection: sqlite3.Connection, block: int, snapshot: Snapshot, tree: Tree, tick: int
    ) -> int:
        """Add the state after the last token to a block that may have been stored without one."""
        if tree.whole and payload(connection, block, STATE) is None:
            state = _state(snapshot, tree)
            if not self.make_room(len(state), before=tick):
                return 0
            put(connection, block, STATE, state)
            connection.execute(
                "UPDATE blocks SET bytes = bytes + ? WHERE id = ?", (len(state), block)
            )
        return len(snapshot.tokens)

    def _added(
        self, connection: sqlite3.Connection, tree: Tree, parent: int, start: int,
        tokens: bytes, snapshot: Snapshot, tick: int,
    ) -> int:  # fmt: skip
        """The node of these tokens, which is made if it is not there yet."""
        known = child(connection, parent, tokens)
        if known is None and not tree.whole:
            near = nearest(connection, parent, tokens)
            if near and near[0].tokens * WIDTH == len(tokens):
                known = near[0].block
        if known is not None:  # or one that goes on behind the end of this text
            self._use(connection, [known], tick)
            return known
        if not tree.whole:  # shorter ones say nothing that this one does not
            ends = [tokens[:end] for end in range(WIDTH, len(tokens), WIDTH)]
            connection.execute(
                f"DELETE FROM blocks WHERE parent = ? AND tokens IN ({','.join('?' * len(ends))})",
                (parent, *ends),
            )
        first, end = start // WIDTH, (start + len(tokens)) // WIDTH
        payloads = {ROWS: rows(snapshot, tree.slots, first, end)}
        if tree.whole and end == len(snapshot.tokens):
            payloads[STATE] = _state(snapshot, tree)
        size = len(tokens) + sum(map(len, payloads.values())) + _ROW
        block = connection.execute(
            "INSERT INTO blocks (program, parent, start, tokens, used, bytes)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (tree.id, parent, first, tokens, tick, size),
        ).lastrowid
        assert block is not None
        for kind, data in payloads.items():
            put(connection, block, kind, data)
        return block

    @staticmethod
    def _use(connection: sqlite3.Connection, blocks: list[int], tick: int) -> None:
        connection.executemany(
            "UPDATE blocks SET used = ? WHERE id = ?", [(tick, block) for block in blocks]
        )


def _state(snapshot: Snapshot, tree: Tree) -> bytes:
    return snapshot.furthest.to_bytes(8, "big") + whole(snapshot, tree.slots)


def _packed(tokens: Sequence[int]) -> bytes:
    if any(type(token) is not int or not 0 <= token < 2**32 for token in tokens):
        raise ArgumentError("tokens must be whole numbers from 0 to 2**32 - 1")
    return packed(tokens)
