"""What a person sees of `llm-export store`, and of conversations that a file keeps."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export.cli.main import main
from runtime_py.store import Store

Said = tuple[int, str, str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """say(*words) -> (code, stdout, stderr)"""

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def talk(
    portable_bundle: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., Said]
) -> Callable[..., Said]:
    def run(lines: str, *flags: object) -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        return say("chat", portable_bundle, "--max-new-tokens", "4", *flags)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "chats.db"
    with Store(file) as store:
        store.create("work", model="m", settings={"top_k": 3})
        store.add("work", {"role": "user", "content": "What is\n\x1b[31ma compiler?"})
        answer = {
            "role": "assistant", "content": "A program.", "reasoning_content": "Hm.",
            "tool_calls": [{"function": {"name": "look_up", "arguments": '{"word": 1}'}}],
        }  # fmt: skip
        stats = {"generated_tokens": 3, "decode_tokens_per_second": 12.5}
        store.add("work", answer, stats=stats)
        store.branch("work", title="other")
    return file


def test_sessions_are_listed_and_shown(say: Callable[..., Said], file: Path) -> None:
    code, out, err = say("store", "ls", file)
    assert code == 0
    rows = [line.split()[-1] for line in out.splitlines()]
    assert rows == ["title", "other", "compiler?"]
    assert "2 sessions" in err
    code, out, _ = say("store", "show", file, "work")
    assert out.splitlines()[0] == "What is [31ma compiler?"
    assert "session work, m, 0 of 0 tokens cached, written 0 s ago" in out
    assert "\ntop_k=3\n" in out
    assert "\nuser\n  What is\n  [31ma compiler?\n" in out
    assert "\nassistant  [3 tokens, 12.5 tokens/s]\n  (thinking) Hm.\n  A program.\n" in out
    assert '  (call) look_up {"word": 1}' in out
    assert "branch of work" in say("store", "show", file)[1]


def test_sessions_are_exported_imported_and_removed(
    say: Callable[..., Said], file: Path, tmp_path: Path
) -> None:
    lines = say("store", "export", file, "work")[1]
    assert [json.loads(line).get("message", {}).get("role") for line in lines.splitlines()] == [
        None, "user", "assistant",
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text(lines)
    code, out, _ = say("store", "import", tmp_path / "new.db", tmp_path / "a.jsonl")
    assert (code, "compiler?" in out) == (0, True)
    assert say("store", "rm", file, "work", "last")[1].count("removed") == 2
    assert say("store", "ls", file)[1] == ""
    assert "0 sessions, 0 messages\n" in say("store", "stats", file)[1]
    assert "limit: 500 MB" in say("store", "limit", file, "500MB")[1]
    assert "of at most 500 MB" in say("store", "stats", file)[1]
    assert say("store", "check", file)[:2] == (0, "sound\n")
    assert " now" in say("store", "vacuum", file)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ls", "none.db"), "there is no such store"),
        (("show", "FILE", "nope"), "there is no session nope"),
        (("rm", "FILE"), "rm takes ids of sessions, not 0"),
        (("limit", "FILE", "much"), "no size: 'much'"),
        (("limit", "FILE", "1"), "max_bytes must be a whole number from"),
        (("import", "FILE", "none.jsonl"), "cannot be read: No such file"),
        (("import", "FILE", "FILE"), "cannot be read"),
        (("ls", "FILE", "x"), "ls takes a file only, not 1"),
    ],
)
def test_mistakes_are_told(
    say: Callable[..., Said], file: Path, words: tuple[str, ...], told: str
) -> None:
    code, _, err = say("store", *(str(file) if word == "FILE" else word for word in words))
    assert (code, told in err) in ((2, True), (3, True), (1, True)), err
    assert "unexpected" not in err
    assert not Path("none.db").exists()


def test_a_conversation_goes_on(
    talk: Callable[..., Said], say: Callable[..., Said], tmp_path: Path
) -> None:
    file = tmp_path / "chats.db"
    code, _, err = talk("hi\n/reset\nother\n", "--store", file, "--system", "be brief",
                        "--top-k", 5)  # fmt: skip
    assert (code, "a new session of" in err) == (0, True)
    with Store(file) as store:
        other, first = store.sessions()
        assert [other.title, first.title] == ["other", "hi"]
        assert [other.messages, first.messages] == [3, 3]
        assert first.settings == {"max_new_tokens": 4, "top_k": 5}
        assert store.messages(first.id)[2].stats["generated_tokens"] == 4  # type: ignore[index]
    _, _, err = talk("more\n", "--store", file, "--session", first.id, "--stats")
    assert f"session {first.id}: hi, 3 messages" in err
    cached = int(err.split("prompt tokens (")[1].split()[0])
    assert cached > 30, "what was said before is not fed again"
    code, out, err = talk("", "--store", file, "--session", "last", "--message", "again", "--stats")
    assert (code, out.count("\n")) == (0, 1)
    assert int(err.split("prompt tokens (")[1].split()[0]) > cached
    with Store(file) as store:
        roles = [each.message["role"] for each in store.messages("last")]
        assert roles == ["system", *["user", "assistant"] * 3]
        assert store.session("last").id == first.id
        assert len(store.sessions()) == 2
    # A new one goes on from what it has in common with others.
    long = "be brief " * 20
    assert "(0 cached)" in talk("a\n", "--store", file, "--stats", "--system", long)[2]
    assert "(0 cached)" not in talk("b\n", "--store", file, "--stats", "--system", long)[2]
    assert say("store", "ls", file)[1].count("\n") == 5
    for flags, told in (
        (("--session", "last"), "--session needs --store"),
        (("--store", file, "--session", "nope"), "there is no session nope"),
        (("--store", tmp_path / "new.db", "--session", "last"), "there is no such store"),
        (("--store", file, "--store-size", "x"), "no size: 'x'"),
    ):
        code, _, err = talk("hi\n", *flags)
        assert (code != 0, told in err) == (True, True), err
