"""Sessions and messages of a store, its limit, and files that are none."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_texts import PROGRAM, SLOTS, snapshot

from runtime_py import ArgumentError, BundleRuntimeError
from runtime_py.store import Store, database
from runtime_py.store.records import title_of
from runtime_py.store.schema import APPLICATION_ID, MIGRATIONS, VERSION

USER = {"role": "user", "content": "What is a compiler?"}
ANSWER = {
    "role": "assistant", "content": "A program 🎈.", "reasoning_content": "Hm.",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as found:
        found._database.connection.execute("PRAGMA synchronous = OFF")
        yield found


def contents(store: Store, session: str) -> list[Any]:
    return [each.message["content"] for each in store.messages(session)]


def test_a_session_is_read_as_it_was_written(store: Store) -> None:
    name = store.create(model="m", program="p", adapter="a", settings={"temperature": 0.5})
    store.add(name, USER)
    store.add(name, ANSWER, stats={"generated_tokens": 3})
    with Store(store.path) as other:
        found = other.session(name)
        assert (found.model, found.program, found.adapter) == ("m", "p", "a")
        assert (found.settings, found.messages) == ({"temperature": 0.5}, 2)
        assert found.title == "What is a compiler?"
        first, second = other.messages(name)
    assert (first.message, first.stats) == (USER, None)
    assert (second.message, second.stats) == (ANSWER, {"generated_tokens": 3})
    assert found.created < first.created < second.created
    store.rename(name, "Compilers")
    store.add(name, USER)
    assert store.session("last").title == "Compilers"


def test_messages_can_be_edited_removed_and_branched(store: Store) -> None:
    name = store.create("work")
    ids = [store.add(name, {"role": "user", "content": word}) for word in "abcd"]
    store.edit(name, ids[1], {"role": "user", "content": "B"})
    store.delete_message(name, ids[2])
    assert contents(store, name) == ["a", "B", "d"]
    branch = store.branch(name, after=ids[1], title="other")
    store.add(branch, ANSWER)
    assert contents(store, branch)[:2] == ["a", "B"]
    assert (store.session(branch).branch_of, store.session(branch).title) == (name, "other")
    assert store.delete_messages(name, after=ids[0]) == 2
    assert contents(store, name) == ["a"]
    assert contents(store, store.branch(branch)) == ["a", "B", ANSWER["content"]]
    store.write(name, [{"role": "user", "content": "a"}, ANSWER], stats={1: {"x": 1}})
    assert store.messages(name)[0].id == ids[0], "what is the same stays"
    assert store.messages(name)[1].stats == {"x": 1}
    assert store.delete_messages(name) == 2
    store.delete(name)
    assert not store.has(name)
    assert [each.branch_of for each in store.sessions()] == [branch, name]
    assert len(store.sessions(1)) == 1


def test_all_of_a_session_is_written_or_nothing(store: Store) -> None:
    made = snapshot(range(70))
    assert store.write("a", [USER], snapshot=made, slots=SLOTS, settings={"k": 1}) == 70
    assert store.tokens("a") == tuple(range(70))
    with pytest.raises(ArgumentError, match="has no tensor other"):
        store.write("a", [USER, ANSWER], snapshot=snapshot(range(90)), slots={"other": 1})
    with pytest.raises(ArgumentError):
        store.write("b", [USER], snapshot=snapshot(range(90)), slots={"other": 1})
    assert (len(store.messages("a")), store.session("a").tokens) == (1, 70)
    assert not store.has("b")
    assert store.stats().prefixes[0].tokens == 70


def test_export_and_import(store: Store, tmp_path: Path) -> None:
    name = store.create(title="T", model="m", settings={"top_k": 3})
    store.add(name, USER)
    store.add(name, ANSWER, stats={"x": 1})
    lines = list(store.export(name))
    assert [next(iter(json.loads(line))) for line in lines] == ["session", "message", "message"]
    with Store(tmp_path / "other.db") as other:
        copy = other.import_([*lines, ""])
        assert (other.session(copy).title, other.session(copy).settings) == ("T", {"top_k": 3})
        assert [e.message for e in other.messages(copy)] == [USER, ANSWER]
        assert other.messages(copy)[1].stats == {"x": 1}
        assert other.messages(copy)[0].created == store.messages(name)[0].created
        for wrong, words in (
            ([], "there is no session in it"),
            (["{"], "it is no JSON"),
            (["[" * 100_000], "it is no JSON"),
            (["[]"], "it is no JSON object"),
            (['{"session": 2}'], "it is no session of format 1"),
            ([lines[0], '{"message": 3}'], "it is no message with a role"),
            (['{"session": 1, "title": 3}', lines[1]], "title must be a text"),
            ([lines[0], '{"message": {"role": "user"}, "stats": 3}'], "stats must be a dict"),
            ([lines[0], '{"message": {"role": "user"}, "created": "x"}'], "created must be a"),
        ):
            with pytest.raises(BundleRuntimeError, match=words):
                other.import_(wrong)
        assert len(other.sessions()) == 1


WRONG: dict[str, tuple[Callable[[Store], Any], str]] = {
    "no session": (lambda s: s.messages("nope"), "there is no session nope"),
    "no last": (lambda s: s.prune(keep=0) and s.session("last"), "the store has no session"),
    "twice": (lambda s: s.create("a"), "there is a session a already"),
    "id": (lambda s: s.create("a b"), "a session's id must be of letters"),
    "id type": (lambda s: s.session(3), "a session's id must be of letters"),  # type: ignore[arg-type]
    "last": (lambda s: s.create("last"), "'last' means a session"),
    "no message": (lambda s: s.edit("a", 99, USER), "session a has no message 99"),
    "message id": (lambda s: s.delete_message("a", "x"), "a message's id must be"),  # type: ignore[arg-type]
    "branch": (lambda s: s.branch("a", after=99), "session a has no message 99"),
    "message": (lambda s: s.add("a", "hi"), "a message must be a dict with a role"),  # type: ignore[arg-type]
    "role": (lambda s: s.add("a", {"content": "hi"}), "a message must be a dict with a role"),
    "json": (lambda s: s.add("a", {"role": "user", "x": b""}), "bytes is no JSON"),
    "nan": (lambda s: s.add("a", USER, stats={"x": float("nan")}), "stats cannot be written"),
    "surrogate": (lambda s: s.add("a", {"role": "\ud800"}), "half of a character"),
    "settings": (lambda s: s.set_settings("a", [1]), "settings must be a dict, not list"),  # type: ignore[arg-type]
    "title": (lambda s: s.rename("a", "x" * 20_000), "title must be a text of at most"),
    "keep": (lambda s: s.prune(keep=-1), "keep must be a whole number from 0"),
    "limit": (lambda s: Store(s.path, max_bytes=5), "max_bytes must be a whole number from"),
    "huge": (lambda s: Store(s.path, max_bytes=2**70), "max_bytes must be a whole number from"),
    "how many": (lambda s: s.sessions(2**70), "limit must be a whole number from 0 or None"),
    "wait": (lambda s: Store(s.path, wait_seconds=-1), "wait_seconds must be from 0 to 3600"),
    "wait type": (lambda s: Store(s.path, wait_seconds="1"), "wait_seconds must be a number"),  # type: ignore[arg-type]
    "path": (lambda s: Store(3), "path must be the name of a file, not int"),  # type: ignore[arg-type]
    "null": (lambda s: Store("a\0b"), "path must be the name of a file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told(store: Store, case: str) -> None:
    store.create("a")
    act, words = WRONG[case]
    with pytest.raises(BundleRuntimeError, match=words):
        act(store)


def foreign(path: Path, words: str = "") -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript("CREATE TABLE notes (x);" + words)
    connection.close()


def test_files_that_are_no_store_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "f"
    writers: dict[str, Callable[[], object]] = {
        "it is no SQLite file": lambda: file.write_text("something else"),
        "of another program": lambda: foreign(file),
        f"the store has version {VERSION + 1}; this runtime reads up to {VERSION}": lambda: foreign(
            file,
            f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION + 1}",
        ),
        "no such table": lambda: foreign(
            file, f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}"
        ),
        "Is a directory": lambda: file.mkdir(),
        "this file is no store": lambda: file.write_bytes(b"SQLite format 3\0" + b"x" * 5000),
    }
    for words, write in writers.items():
        write()
        before = None if file.is_dir() else file.read_bytes()
        with pytest.raises(BundleRuntimeError, match=words) as caught:
            Store(file)
        assert str(file) in str(caught.value)
        if file.is_dir():
            file.rmdir()
        else:
            assert file.read_bytes() == before
            file.unlink()
    with pytest.raises(BundleRuntimeError, match="the store cannot be made: No such file"):
        Store(tmp_path / "none" / "s.db")
    assert os.listdir(tmp_path) == []


def test_a_former_version_is_brought_up_to_date(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = store.create()
    store.add(name, USER)
    store.close()
    more = "ALTER TABLE sessions ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;\n"
    monkeypatch.setattr(database, "VERSION", VERSION + 1)
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, more + "no SQL"))
    with pytest.raises(BundleRuntimeError, match="syntax error"):
        Store(store.path)
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, more))
    with Store(store.path) as later:  # nothing of the failed one is left
        assert later._database.connection.execute("SELECT pinned FROM sessions").fetchall() == [
            (0,)
        ]
        assert later.messages(name)[0].message == USER
    monkeypatch.undo()
    with pytest.raises(BundleRuntimeError, match="update llm_export, or use another file"):
        Store(store.path)


def read_all(file: Path) -> None:
    with Store(file) as store:
        for each in store.sessions():
            store.messages(each.id)


def test_a_damaged_store_is_told(store: Store) -> None:
    for _ in range(40):
        store.add(store.create(), {"role": "user", "content": "x" * 2000})
    store.close()
    data = bytearray(store.path.read_bytes())
    for start in range(16384 + 100, len(data), 16384):
        data[start - 100 : start] = b"\xff" * 100
    store.path.write_bytes(data)
    with pytest.raises(
        BundleRuntimeError, match=r"the store cannot be used: .*malformed"
    ) as caught:
        read_all(store.path)
    assert "go back to a copy" in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "UPDATE messages SET body = 'x'",
        "UPDATE messages SET body = '[1]'",
        "UPDATE sessions SET settings = x'ff'",
        "UPDATE sessions SET settings = '3'",
        "UPDATE sessions SET tokens = x'01', program = ?",
        "UPDATE programs SET slots = '['",
        "UPDATE facts SET value = 'x'",
        "DELETE FROM facts",
    ],
)
def test_nonsense_in_a_store_is_told(store: Store, words: str) -> None:
    store.write("a", [USER, ANSWER], snapshot=snapshot(range(70)), slots=SLOTS)
    store._database.connection.execute(words.replace("?", f"'{PROGRAM}'"))
    with pytest.raises(BundleRuntimeError, match=r"store (cannot be used|is damaged)") as caught:
        use_all(store)
    assert str(store.path) in str(caught.value)


def use_all(store: Store) -> None:
    store.messages("a")
    store.prefixes.load(PROGRAM, "", store.tokens("a"))
    store.add("a", USER)
    store.prefixes.save(snapshot(range(90)), SLOTS)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="sqlite3 does not say it there")
def test_a_file_that_was_removed_takes_no_writes(store: Store) -> None:
    name = store.create()
    store.path.rename(store.path.with_name("away.db"))
    with pytest.raises(BundleRuntimeError, match="it was removed while it was open") as caught:
        store.add(name, {"role": "user", "content": "lost"})
    assert caught.value.fix == "open it again"


def test_a_file_is_its_owners(store: Store, tmp_path: Path) -> None:
    assert store.path.stat().st_mode & 0o777 == 0o600
    with store._database.write():
        store.create()
        (journal,) = [name for name in os.listdir(tmp_path) if "journal" in name]
        assert (tmp_path / journal).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["s.db"], "it is one file when nobody writes"
    (tmp_path / "empty").touch(0o600)
    with Store(tmp_path / "empty") as other:
        assert other.sessions() == []


def test_nothing_of_a_removed_session_stays_in_the_file(store: Store) -> None:
    name = store.create()
    store.add(name, {"role": "user", "content": "confidential " * 3000})
    assert b"confidential" in store.path.read_bytes()
    store.delete(name)
    assert b"confidential" not in store.path.read_bytes()
    size = store.path.stat().st_size
    store.vacuum()
    assert store.path.stat().st_size <= size
    stats = store.stats()
    assert (stats.sessions, stats.messages, stats.prefix_bytes) == (0, 0, 0)
    assert stats.used_bytes == stats.file_bytes == store.path.stat().st_size
    assert store.check() == []


def test_a_closed_or_forked_store_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            store.sessions()
        except BundleRuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert b"opened before this process was forked" in os.read(reader, 1000)
    os.close(reader)
    store.close()
    store.close()
    with pytest.raises(BundleRuntimeError, match="the store is closed"):
        store.create()
    assert "(closed)" in repr(store)


def test_titles() -> None:
    assert title_of({"content": "a\n  b "}) == "a b"
    assert title_of({"content": [{"type": "text", "text": "a"}, {"type": "image"}]}) == "a"
    assert title_of({"content": None}) == ""
    assert len(title_of({"content": "word " * 100})) <= 60
