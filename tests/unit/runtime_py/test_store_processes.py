"""A store that several processes use, and processes that are killed while they write."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from stored_texts import PROGRAM, SLOTS, same, snapshot

from runtime_py import BundleRuntimeError
from runtime_py.store import Store

REPO = Path(__file__).parents[3]
WRITER = """
import sys
from runtime_py.store import Store
with Store(sys.argv[1]) as store:
    for n in range(int(sys.argv[3])):
        name = store.create(sys.argv[2] + "-" + str(n), title=sys.argv[2])
        store.write(name, [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "x" * 999}])
        store.add("shared", {"role": "user", "content": name})
        print(name, flush=True)
"""  # noqa: E501
"""Without torch: it starts in a tenth of a second."""


def writer(file: Path, name: str, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(file), name, str(count)]
    return subprocess.Popen(words, cwd=REPO, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with Store(file) as store:
        store.create("shared")
        writers = [writer(file, name, 8) for name in "ab"]
        for each in writers:
            assert each.communicate(timeout=300)[0].count("\n") == 8
            assert each.returncode == 0
        assert len(store.sessions()) == 17
        written = [each.message["content"] for each in store.messages("shared")]
        assert sorted(written) == sorted(f"{name}-{n}" for name in "ab" for n in range(8))
        assert [written.index(f"a-{n}") for n in range(8)] == sorted(
            written.index(f"a-{n}") for n in range(8)
        )
        assert store.check() == []
    assert os.listdir(tmp_path) == ["s.db"]


def test_a_new_file_is_made_once(tmp_path: Path) -> None:
    """Though several open it at the same moment."""
    found: list[object] = []
    start = threading.Barrier(4)

    def open_it() -> None:
        start.wait()
        try:
            with Store(tmp_path / "s.db") as store:
                found.append(store.create())
        except BundleRuntimeError as error:
            found.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with Store(tmp_path / "s.db") as store:
        assert sorted(each.id for each in store.sessions()) == sorted(map(str, found))


def test_threads_share_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store._database.connection.execute("PRAGMA synchronous = OFF")
        name = store.create()

        def work(n: int) -> None:
            for i in range(5):
                store.add(name, {"role": "user", "content": f"{n} {i}"})
                store.prefixes.save(snapshot([n] * 70 + [i]), SLOTS)
                found = store.prefixes.load(PROGRAM, "", [n] * 70 + [i])
                assert found is not None
                assert same(found, [n] * 70 + [i])

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(store.messages(name)) == 20
        assert store.check() == []


def test_a_process_that_only_waits_is_told(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    blocker = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with Store(tmp_path / "s.db", wait_seconds=0.05) as store:
        assert store.sessions() == [], "reading does not wait for a writer"
        with pytest.raises(BundleRuntimeError, match="database is locked") as caught:
            store.create()
        assert "larger wait_seconds" in str(caught.value)
        blocker.execute("ROLLBACK")
        store.create()
    blocker.close()


def test_a_killed_writer_leaves_whole_sessions(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with Store(file) as store:
        store.create("shared")
    process = writer(file, "a", 10_000)
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(5)]
    process.kill()
    told += process.stdout.read().split()
    process.wait()
    with Store(file) as store:
        assert store.check() == []
        assert store.session("shared").messages in range(len(told), len(told) + 2)
        for each in store.sessions():
            assert each.id == "shared" or each.messages in (0, 2)
        assert {name for name in told if store.session(name).messages != 2} == set()


ROUNDS = 12


@pytest.mark.slow
def test_processes_killed_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    """Two at once write sessions with their messages and their prefixes, say so, and are killed
    while they write the next ones; every second file is also near its limit."""
    file = tmp_path / "s.db"
    choices = random.Random(0)
    told = 0
    for number in range(ROUNDS):
        with Store(file, max_bytes=(2 << 20) if number % 2 else (64 << 20)) as store:
            store.prune(keep=5)
        children = [Child(file, f"{number}-{letter}") for letter in "ab"]
        for child in children:
            child.wait_for_one()
        time.sleep(choices.random() * 0.15)
        for child in children:
            child.kill()
        told += sum(len(child.told) for child in children)
        with Store(file) as store:
            assert store.check() == []
            for each in store.sessions():
                assert (each.messages, each.tokens) == (2, 200)
                text = list(store.tokens(each.id))
                found = store.prefixes.load(PROGRAM, "", text)
                assert found is None or same(found, text[: found.position])
            for child in children:
                assert all(store.has(f"{child.name}-{n}") for n in child.told)
    assert told > 2 * ROUNDS
    assert os.listdir(tmp_path) == ["s.db"]


class Child:
    """A fork of the test's process, which has torch already, that writes until it is killed.

    Attributes:
        told: numbers of the sessions that it said to have written.
    """

    def __init__(self, file: Path, name: str) -> None:
        self.name, self.told = name, list[str]()
        reader, out = os.pipe()
        self._process = os.fork()
        if not self._process:
            try:
                write_forever(file, name, out)
            finally:
                os._exit(1)
        os.close(out)
        self._lines = os.fdopen(reader)

    def wait_for_one(self) -> None:
        self.told.append(self._lines.readline().strip())

    def kill(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        with self._lines:
            self.told += self._lines.read().split()


def write_forever(file: Path, name: str, out: int) -> None:
    with Store(file) as store:
        for n in range(100_000):
            text = [ord(name[-1])] * 64 + [n] * 136
            store.write(
                f"{name}-{n}",
                [{"role": "user", "content": "x" * 2000}, {"role": "assistant", "content": ""}],
                snapshot=snapshot(text, width=100), slots=SLOTS,
            )  # fmt: skip
            os.write(out, f"{n}\n".encode())
            time.sleep(0.005)  # SQLite's queue is not fair


def test_opening_a_store_again_ends_no_lock_of_it(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    asks = f"import sqlite3; sqlite3.connect({str(file)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    with Store(file) as first, first._database.write():
        Store(file).close()
        other = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True)
    assert "database is locked" in other.stderr
