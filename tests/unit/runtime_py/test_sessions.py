"""Sessions: several texts over one program, each as if it were alone."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_py import LLM, BundleRuntimeError, Session, Snapshot
from runtime_py.program import Program
from runtime_py.program_state import ProgramState
from runtime_py.rows import Rows

PROMPT = list(range(3, 40))


@pytest.fixture(scope="module", params=["attention", "recurrent"])
def bundle(request: pytest.FixtureRequest) -> Path:
    name = "portable_bundle" if request.param == "attention" else "recurrent_bundle"
    found: Path = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="module")
def llm(bundle: Path) -> LLM:
    return LLM.load(bundle)


@pytest.fixture(scope="module")
def alone(bundle: Path) -> LLM:
    return LLM.load(bundle)


def answer(llm: LLM | Session, ids: list[int], count: int = 6) -> list[int]:
    llm.reset()
    return llm.generate(ids, max_new_tokens=count, temperature=0).tokens


def goes_on(session: Session, count: int = 6) -> list[int]:
    return session.generate(max_new_tokens=count, temperature=0).tokens


def test_sessions_take_turns(llm: LLM, alone: LLM) -> None:
    texts = [PROMPT, [9, 8, 7], list(range(60, 90))]
    expected = [answer(alone, text, 8) for text in texts]
    sessions = [llm.session() for _ in texts]
    for session, text in zip(sessions, texts, strict=True):
        assert session.append(text) == len(text)
    for step in range(8):
        for session, tokens in zip(sessions, expected, strict=True):
            assert session.logits is not None
            assert int(torch.argmax(session.logits)) == tokens[step]
            session.append(tokens[step : step + 1])
        llm.generate([4, 5, 6], max_new_tokens=1)  # the LLM's own text takes part
    assert [s.position for s in sessions] == [len(t) + 8 for t in texts]
    assert f"{len(texts[0]) + 8} of {llm.program.context_length} tokens" in repr(sessions[0])


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["append", "truncate", "fork", "restore", "ask"]),
              st.integers(0, 40)),
    min_size=4, max_size=12,
)  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(OPERATIONS)
def test_a_session_is_as_if_it_were_alone(
    llm: LLM, alone: LLM, done: list[tuple[int, str, int]]
) -> None:
    sessions: list[Session] = [llm.session() for _ in range(2)]
    texts: list[list[int]] = [[], []]
    taken = sessions[0].snapshot()
    for which, what, size in done:
        index = which % len(sessions)
        session, text = sessions[index], texts[index]
        if what == "append":
            new = [3 + (size * 7 + i) % 300 for i in range(size)]
            session.append(new)
            text += new
        elif what == "truncate":
            del text[min(size, len(text)) :]
            session.truncate(len(text))
        elif what == "fork":
            sessions.append(session.fork())
            texts.append(list(text))
        elif what == "restore":
            session.restore(taken)
            text[:] = taken.tokens
        elif text:
            made = session.generate([*text, 5], max_new_tokens=2).tokens
            text += [5, *made[:-1]]
            taken = session.snapshot()
        assert session.tokens == text
    for session, text in zip(sessions, texts, strict=True):
        logits = session.logits
        if not text:
            assert logits is None
            continue
        assert logits is not None
        alone.reset()
        alone.program.reset()  # whatever another test has left there
        expected = alone.program.prefill(text)
        assert torch.allclose(logits, expected, atol=1e-4)
        alone.program.reset()


def test_what_was_copied_once_is_not_copied_again(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []
    written: list[int] = []
    rows, put = Program.rows, ProgramState.put_rows

    def seen_rows(program: Program, start: int) -> Rows:
        copied.append(start)
        return rows(program, start)

    def seen_put(state: ProgramState, part: Rows, start: int) -> None:
        written.append(start)
        put(state, part, start)

    session = llm.session()
    session.append(PROMPT)
    fork = session.fork()
    first = session.bytes
    fork.append([80])
    monkeypatch.setattr(Program, "rows", seen_rows)
    monkeypatch.setattr(ProgramState, "put_rows", seen_put)
    session.append([70])
    fork.append([81])
    assert copied == [len(PROMPT), len(PROMPT)]
    assert written == [len(PROMPT)]  # the fork's token; nothing of what both begin with
    assert session.bytes < 2 * first
    fork.close()
    session.append([71])
    assert session.position == len(PROMPT) + 2


def test_a_conversation(llm: LLM, alone: LLM, tmp_path: Path) -> None:
    session = llm.session([{"role": "system", "content": "Be short."}])
    first = session.send("hello", max_new_tokens=4)
    session.save(tmp_path / "s")
    pieces = session.send_stream({"role": "user", "content": "again"}, max_new_tokens=4)
    second = pieces.read()
    assert [m["role"] for m in session.messages] == ["system"] + ["user", "assistant"] * 2
    assert session.messages[2]["content"] == first.text
    assert second.stats.cached_tokens > 0
    history = session.messages[:-1]
    assert second.tokens == alone.chat(history, max_new_tokens=4).tokens
    other = alone.session()
    other.restore(tmp_path / "s")
    assert other.messages == session.messages[:3]
    assert other.send("again", max_new_tokens=4).tokens == second.tokens
    with other.send_stream("more", max_new_tokens=8) as stream:
        next(stream)
    assert [m["role"] for m in other.messages[-2:]] == ["user", "assistant"]
    assert other.messages[-1]["content"] == stream.result.text
    with other.send_stream("more", max_new_tokens=500, ignore_eos=True) as stream:
        next(stream)
        stream.cancel()
        assert stream.read().finish == "cancelled"
    assert other.messages[-1] == stream.result.message
    before = other.messages[:]
    with other.send_stream("never asked"):
        pass
    with pytest.raises(ValueError, match="broken"):
        other.send("x", logits_processor=broken, max_new_tokens=3)
    assert other.messages == before
    # another turn that came in between is part of what is answered
    late = session.send_stream("late", max_new_tokens=3)
    session.send("early", max_new_tokens=3)
    late.read()
    assert [m["content"] for m in session.messages if m["role"] == "user"][-2:] == ["early", "late"]
    heard: list[str] = []
    said = session.send("x", max_new_tokens=3, on_text=heard.append)
    assert "".join(heard) == said.text
    session.reset()
    assert (session.messages, session.tokens) == ([], [])


def broken(ids: Any, logits: Any) -> Any:
    raise ValueError("broken")


def test_in_an_event_loop(portable: LLM) -> None:
    async def ask() -> list[str]:
        session = portable.session()
        first = await session.asend("hello", max_new_tokens=4)
        assert session.messages[-1] == first.message
        return [piece async for piece in session.asend_stream("again", max_new_tokens=4)]

    assert asyncio.run(ask())


def test_prefixes(llm: LLM, alone: LLM) -> None:
    session = llm.session()
    session.append(PROMPT)
    part = session.export_prefix(20)
    assert (part.tokens, part.messages) == (tuple(PROMPT[:20]), ())
    assert session.tokens == PROMPT
    assert session.export_prefix().tokens == tuple(PROMPT)
    other = llm.session()
    other.restore(part)
    other.append([77])
    assert goes_on(other) == answer(alone, [*PROMPT[:20], 77])


def test_a_text_is_appended_without_a_second_bos(llm: LLM) -> None:
    session = llm.session()
    session.append("hello")
    assert session.tokens == llm.tokenizer.encode("hello")
    session.append(" there")
    assert session.tokens == [*llm.tokenizer.encode("hello"),
                              *llm.tokenizer.encode(" there", raw=False)]  # fmt: skip
    assert list(session.stream(max_new_tokens=2)) != []


def test_a_session_slides(portable: LLM, portable_bundle: Path) -> None:
    """What remains is as if nothing else had ever been fed."""
    capacity = portable.program.context_length
    session = portable.session(overflow="slide")
    session.append([3, *range(10, 210)] * 10)
    made = session.generate(max_new_tokens=60, temperature=0, ignore_eos=True)
    assert made.finish == "length"
    assert capacity // 2 < session.position < capacity
    tokens = session.tokens
    assert tokens[-59:] == made.tokens[:-1]
    session.append([5])
    with LLM.load(portable_bundle) as alone:
        assert goes_on(session, 8) == answer(alone, [*tokens, 5], 8)


Call = Callable[[Session], Any]
WRONG: dict[str, tuple[Call, str]] = {
    "truncate": (lambda s: s.truncate(9999), "count must be a whole number from 0 to 3, not 9999"),
    "truncate -1": (lambda s: s.truncate(-1), "from 0 to 3, not -1"),
    "truncate text": (lambda s: s.truncate("1"), "not '1'"),  # type: ignore[arg-type]
    "prefix": (lambda s: s.export_prefix(4), "from 0 to 3, not 4"),
    "append": (lambda s: s.append([320]), "token id 320 is not in the vocabulary"),
    "append none": (lambda s: s.append(None), "a prompt must be a text"),  # type: ignore[arg-type]
    "append much": (lambda s: s.append([5] * 4000), "4003 tokens do not fit the context of 2048"),
    "restore": (lambda s: s.restore(3), "snapshot must be a Snapshot, not int"),  # type: ignore[arg-type]
    "no file": (lambda s: s.restore("none"), "there is no such snapshot"),
    "message": (lambda s: s.send(3), "messages must be a list of messages, not int"),  # type: ignore[arg-type]
    "messages": (lambda s: s._llm.session([3]), "a message must be a dict, not int"),  # type: ignore[list-item]
    "setting": (lambda s: s.send("x", top_kk=1), "did you mean top_k"),
    "bias": (lambda s: s.send("x", logit_bias={320: 1}), "has the token 320"),
    "long": (lambda s: s.send("x" * 9000), "leaves no room for an answer"),
    "policy": (lambda s: s._llm.session(overflow="wrap"), "there is no overflow policy 'wrap'"),
    "policy 3": (lambda s: s._llm.session(overflow=3), "must be a policy or its name, not int"),  # type: ignore[arg-type]
    "summarise": (lambda s: s._llm.session(overflow="summarise"), "summarise needs a function"),
    "sink": (lambda s: s._llm.session(overflow="attention_sink"), "kv_cache=attention_sink"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(portable: LLM, case: str) -> None:
    call, words = WRONG[case]
    session = portable.session()
    session.append([3, 4, 5])
    with pytest.raises(BundleRuntimeError, match=words):
        call(session)
    assert (session.tokens, session.messages) == ([3, 4, 5], [])
    assert goes_on(session)


@pytest.fixture(scope="module")
def portable(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


def test_a_closed_session(portable: LLM) -> None:
    with portable.session() as session:
        session.append([3, 4, 5])
    assert "closed" in repr(session)
    for call in (lambda: session.append([3]), session.snapshot, session.fork, goes_on_of(session)):
        with pytest.raises(BundleRuntimeError, match=r"the session is closed\n.*llm.session"):
            call()
    assert portable.generate([3], max_new_tokens=1).tokens


def goes_on_of(session: Session) -> Callable[[], Any]:
    return lambda: session.generate([3], max_new_tokens=1)


def test_an_open_stream_has_the_program(portable: LLM) -> None:
    first, second = portable.session(), portable.session()
    with first.stream([3, 4], max_new_tokens=8) as stream:
        next(stream)
        with pytest.raises(BundleRuntimeError, match="still being generated in this thread"):
            second.append([5])
    second.append([5])
    assert second.tokens == [5]


def test_messages_of_a_file_that_are_none(tmp_path: Path) -> None:
    from safetensors.torch import save

    from runtime_py.snapshots import _digest

    for said, words in (({"messages": "[3]"}, "its messages are not a JSON list"),
                        ({"messages": "[[" * 5000}, "its messages are not a JSON list"),
                        ({"logits": torch.ones(1, 1)}, "logits are not a float32")):  # fmt: skip
        facts: dict[str, Any] = {"snapshot": "1", "furthest": "1", "program": "0" * 64}
        facts["adapter"] = ""
        tensors: dict[str, Any] = {"tokens": torch.tensor([1])}
        for key, value in said.items():
            (tensors if key == "logits" else facts)[key] = value
        facts["sha256"] = _digest(tensors, facts)
        (tmp_path / "s").write_bytes(save(tensors, metadata=facts))
        with pytest.raises(BundleRuntimeError, match=words):
            Snapshot.load(tmp_path / "s")
    snapshot = Snapshot((1,), 1, "0" * 64, "", {}, ({"role": object()},))
    with pytest.raises(BundleRuntimeError, match="the messages cannot be written as JSON"):
        snapshot.save(tmp_path / "t")


def test_a_program_that_gives_out_no_state(
    bundle: Path, alone: LLM, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The text is fed again, from where it differs from the one in memory."""
    copy = shutil.copytree(bundle, tmp_path / "b")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["program"]["state"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with LLM.load(copy) as llm, caplog.at_level(logging.WARNING):
        one, two = llm.session(), llm.session()
        one.append(PROMPT)
        two.append(PROMPT[:9])
        fork = one.fork()
        for session in (one, two, fork, two, one):
            session.append([70])
        assert caplog.text.count("each switch between sessions feeds the text again") == 1
        for session, text in ((one, [*PROMPT, 70, 70]), (two, [*PROMPT[:9], 70, 70]),
                              (fork, [*PROMPT, 70])):  # fmt: skip
            assert session.tokens == text
            session.truncate(len(text) - 1)
            session.append(text[-1:])
            assert goes_on(session) == answer(alone, text)
        with pytest.raises(BundleRuntimeError, match=r"(?s)not give out.*runtime.snapshots=requ"):
            one.save(tmp_path / "s")
        assert not (tmp_path / "s").exists()


def test_threads_share_sessions(portable: LLM, portable_bundle: Path) -> None:
    texts = [[7 * i + k for k in range(5, 12)] for i in range(4)]
    with LLM.load(portable_bundle) as other:
        expected = [answer(other, text, 12) for text in texts]
    sessions = [portable.session() for _ in range(8)]

    def ask(index: int) -> list[int]:
        session = sessions[index]
        session.append(texts[index % 4])
        found: list[int] = []
        for _ in range(4):  # in pieces, so that others come in between
            part = session.generate(max_new_tokens=3, temperature=0).tokens
            session.append(part[-1:])
            found += part
        return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == expected * 2
