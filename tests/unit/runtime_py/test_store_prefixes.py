"""Cached prefixes of a store: what is found again, what is dropped, and what is never served."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stored_texts import OTHER, PROGRAM, SLOTS, same, snapshot

from runtime_py import ArgumentError, BundleRuntimeError
from runtime_py.store import Store

TEXT = list(range(200))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return quick(tmp_path / "s.db")


def quick(path: Path, max_bytes: int | None = None) -> Store:
    """A store that does not wait for the disk."""
    found = Store(path, max_bytes=max_bytes)
    found._database.connection.execute("PRAGMA synchronous = OFF")
    return found


def loaded(store: Store, tokens: list[int], state: bool = False) -> int:
    """How many tokens are found; what they say is checked."""
    found = store.prefixes.load(PROGRAM, "", tokens)
    assert store.prefixes.length(PROGRAM, "", tokens) == (found.position if found else 0)
    assert found is None or same(found, tokens[: found.position], state=state)
    return found.position if found else 0


def test_the_longest_common_beginning_is_found(store: Store) -> None:
    assert loaded(store, TEXT) == 0
    assert store.prefixes.save(snapshot(TEXT), SLOTS, model="m") == 200
    for query, expected in (
        (TEXT, 200),
        ([*TEXT, 7, 8], 200),
        (TEXT[:100], 100),
        (TEXT[:128], 128),
        ([*TEXT[:150], *[999] * 90], 150),
        ([*TEXT[:64], 999], 64),
        ([999, *TEXT], 0),
        ([], 0),
    ):
        assert loaded(store, query) == expected
    longer = [*TEXT, *[5] * 100]
    assert store.prefixes.save(snapshot(longer), SLOTS) == 300
    assert store.prefixes.save(snapshot(TEXT[:70]), SLOTS) == 70
    assert loaded(store, longer) == 300
    (row,) = store.prefixes.listed()
    # No block says what another one says too.
    assert (row.model, row.blocks, row.tokens) == ("m", 5, 300)


def test_a_state_is_of_one_position(store: Store) -> None:
    """What every token changes cannot be cut: a text goes on where one was stored."""
    for end in (70, 128, 200):
        assert store.prefixes.save(snapshot(TEXT[:end], state=True), SLOTS) == end
    for query, expected in (
        (TEXT, 200), (TEXT[:199], 128), (TEXT[:127], 70), (TEXT[:128], 128), (TEXT[:69], 0),
        ([*TEXT[:130], 999], 128), ([*TEXT[:70], *[999] * 200], 70),
    ):  # fmt: skip
        assert loaded(store, query, state=True) == expected
    # A block that was stored on the way to a longer text gets a state of its own later.
    assert store.prefixes.save(snapshot(TEXT[:64], state=True), SLOTS) == 64
    assert loaded(store, TEXT[:69], state=True) == 64
    # And a snapshot without any slots is whole.
    assert store.prefixes.save(snapshot(TEXT, program=OTHER), {}) == 200
    found = store.prefixes.load(OTHER, "", [*TEXT, 1])
    assert found is not None
    assert same(replace(found, program=PROGRAM), TEXT)
    assert store.prefixes.length(OTHER, "", TEXT[:199]) == 0


def test_another_program_or_adapter_gets_nothing(store: Store) -> None:
    store.prefixes.save(snapshot(TEXT), SLOTS)
    store.prefixes.save(snapshot(TEXT[:10], adapter=OTHER), SLOTS)
    assert store.prefixes.load(OTHER, "", TEXT) is None
    assert store.prefixes.load(PROGRAM, PROGRAM, TEXT) is None
    found = store.prefixes.load(PROGRAM, OTHER, TEXT)
    assert found is not None
    assert (found.position, found.adapter) == (10, OTHER)
    store.prefixes.clear(OTHER)
    assert loaded(store, TEXT) == 200
    store.prefixes.clear(PROGRAM)
    assert store.prefixes.listed() == []
    assert store.check() == []


def test_a_snapshot_of_other_tensors_begins_anew(store: Store) -> None:
    """A later runtime may name the tensors of the same program otherwise."""
    store.prefixes.save(snapshot(TEXT), SLOTS)
    store.prefixes.save(snapshot(TEXT[:80], state=True), SLOTS)
    assert loaded(store, TEXT[:100], state=True) == 80
    with pytest.raises(ArgumentError, match="the snapshot has no tensor keys"):
        store.prefixes.save(replace(snapshot(TEXT), tensors={}), {"keys": 1})
    with pytest.raises(ArgumentError, match="tokens must be whole numbers from 0 to 2"):
        store.prefixes.length(PROGRAM, "", [-1])
    assert store.prefixes.save(snapshot([]), SLOTS) == 0


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = quick(tmp_path / "s.db", 3 << 20)
    texts = [[1000 * n + i for i in range(64)] for n in range(9)]
    wide = 1024  # 0.5 MB for each text
    for text in texts[:4]:
        store.prefixes.save(snapshot(text, width=wide), SLOTS)
    assert loaded(store, texts[0]) == 64
    for text in texts[4:7]:
        store.prefixes.save(snapshot(text, width=wide), SLOTS)
    kept = [bool(store.prefixes.length(PROGRAM, "", text)) for text in texts[:7]]
    assert kept[0], "it was used after the others"
    assert not kept[1]
    assert kept[4:] == [True] * 3
    assert store.path.stat().st_size <= 3 << 20
    # Of a text that does not fit there is as much as fits.
    long = [*texts[8], *range(700)]
    saved = store.prefixes.save(snapshot(long, width=wide), SLOTS)
    assert 0 < saved < len(long)
    assert loaded(store, long) == saved
    assert store.prefixes.save(snapshot(long, width=wide, state=True), SLOTS) == 0
    assert store.path.stat().st_size <= 3 << 20
    # Messages never go, and prefixes make room for them.
    for _ in range(4):
        store.prefixes.save(snapshot(long, width=wide), SLOTS)
        session = store.create()
        store.add(session, {"role": "user", "content": "x" * 600_000})
    assert [len(store.messages(each.id)) for each in store.sessions()] == [1] * 4
    with pytest.raises(BundleRuntimeError, match="the store is full: its messages alone") as caught:
        store.add(session, {"role": "user", "content": "x" * 900_000})
    assert "larger max_bytes" in str(caught.value)
    assert len(store.messages(session)) == 1
    assert store.prune(keep=1) == 3
    store.add(session, {"role": "user", "content": "x" * 900_000})
    assert store.check() == []


def test_a_lower_limit_makes_the_file_smaller(tmp_path: Path) -> None:
    with quick(tmp_path / "s.db") as store:
        store.prefixes.save(snapshot(range(640), width=1024), SLOTS)
        session = store.create()
        assert store.path.stat().st_size > 5 << 20
    with Store(tmp_path / "s.db", max_bytes=2 << 20) as store:
        assert store.path.stat().st_size <= 2 << 20
        assert store.has(session)
        assert 0 < loaded(store, list(range(640))) < 640
    with Store(tmp_path / "s.db") as store:
        assert store.max_bytes == 2 << 20


def damage(path: Path, words: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(words)


def test_damaged_tensors_are_not_served(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.prefixes.save(snapshot(TEXT), SLOTS)
    damage(store.path, "UPDATE payloads SET data = zeroblob(length(data)) WHERE block = 4")
    assert store.prefixes.length(PROGRAM, "", TEXT) == 200
    found = store.prefixes.load(PROGRAM, "", TEXT)
    assert found is not None
    assert same(found, TEXT[:128])
    assert loaded(store, TEXT) == 128
    store.prefixes.save(snapshot(TEXT), SLOTS)
    assert loaded(store, TEXT) == 200
    damage(store.path, "UPDATE payloads SET data = x'00', crc = 3523407757 WHERE block = 2")
    assert store.prefixes.load(PROGRAM, "", TEXT) is None
    assert "a cached prefix cannot be read" in caplog.text
    assert store.prefixes.listed() == []
    for kind in ("state", "rows"):
        store.prefixes.clear()
        store.prefixes.save(snapshot(TEXT[:100], state=True), SLOTS)
        store.prefixes.save(snapshot(TEXT, state=True), SLOTS)
        damage(
            store.path,
            f"DELETE FROM payloads WHERE kind = '{kind}' AND block = (SELECT max(id) FROM blocks)",
        )
        assert store.prefixes.load(PROGRAM, "", TEXT).position == 100  # type: ignore[union-attr]
        assert loaded(store, TEXT, state=True) == 100


def test_large_tensors_are_cut_into_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime_py.store.tree._PART", 1000)
    store.prefixes.save(snapshot(TEXT, width=20, state=True), SLOTS)
    found = store.prefixes.load(PROGRAM, "", TEXT)
    assert found is not None
    assert same(found, TEXT, state=True)


def test_types_of_tensors_are_kept(store: Store) -> None:
    kinds = [torch.bfloat16, torch.float16, torch.int8, torch.float8_e4m3fn, torch.bool]
    made = snapshot(TEXT)
    tensors = {str(kind): made.tensors["keys"].to(kind) for kind in kinds}
    store.prefixes.save(replace(made, tensors=tensors), dict.fromkeys(tensors, 1))
    found = store.prefixes.load(PROGRAM, "", TEXT)
    assert found is not None
    assert {name: t.dtype for name, t in found.tensors.items()} == {str(k): k for k in kinds}


RUNS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([1, 2, 62, 63, 64, 65, 128])), max_size=4
)


def spelled(runs: list[tuple[int, int]]) -> list[int]:
    return [token for token, count in runs for _ in range(count)]


class AgainstADict(RuleBasedStateMachine):
    """A store beside a list of the texts that were saved in it."""

    @initialize(state=st.booleans())
    def begin(self, state: bool) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = quick(self.folder / "s.db")
        self.state = state
        self.saved: list[list[int]] = []
        self.evicted = False

    @rule(runs=RUNS)
    def save(self, runs: list[tuple[int, int]]) -> None:
        tokens = spelled(runs)
        assert self.store.prefixes.save(snapshot(tokens, state=self.state), SLOTS) == len(tokens)
        self.saved.append(tokens)

    @rule(runs=RUNS)
    def look_up(self, runs: list[tuple[int, int]]) -> None:
        tokens = spelled(runs)
        found = loaded(self.store, tokens, self.state)
        expected = max((self.shared(each, tokens) for each in self.saved), default=0)
        assert found <= expected if self.evicted else found == expected

    def shared(self, saved: list[int], tokens: list[int]) -> int:
        if self.state:
            return len(saved) if tokens[: len(saved)] == saved else 0
        count = 0
        while count < min(len(saved), len(tokens)) and saved[count] == tokens[count]:
            count += 1
        return count

    @precondition(lambda self: self.saved)
    @rule(blocks=st.integers(1, 5))
    def evict(self, blocks: int) -> None:
        used = self.store._database.used_bytes()
        self.store._database.set_fact("max_bytes", used + 65536 - blocks * 2000)
        assert self.store.prefixes.make_room(0) or not self.store.prefixes.listed()
        self.store._database.set_fact("max_bytes", 1 << 30)
        self.evicted = True

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = quick(self.folder / "s.db")

    @invariant()
    def no_block_is_loose(self) -> None:
        if hasattr(self, "store"):
            query = (
                "SELECT count(*) FROM blocks c JOIN blocks p ON c.parent = p.id WHERE"
                " c.start != p.start + length(p.tokens) / 4 OR p.used < c.used"
            )
            assert self.store._database.connection.execute(query).fetchone() == (0,)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check() == []
            self.store.close()
            shutil.rmtree(self.folder)


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=8, stateful_step_count=10, deadline=None)
