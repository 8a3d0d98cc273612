"""Sessions and prompts of loaded bundles that go on from a store."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import stored_texts as stored
import torch
from torch import Tensor

from runtime_py import LLM, ArgumentError, BundleRuntimeError
from runtime_py.store import Store

PROMPT = list(range(3, 140))


@pytest.fixture(scope="module", params=["portable_bundle", "recurrent_bundle"])
def llm(request: pytest.FixtureRequest) -> LLM:
    return LLM.load(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def chatting(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as found:
        yield found


def known(logits: Tensor | None) -> Tensor:
    assert logits is not None
    return logits


def slots_are_all(llm: LLM) -> bool:
    """Whether a text can go on from any position of a longer one."""
    state = llm.bundle.manifest["program"]["state"]
    return all("slots" in each for each in state["tensors"])


def test_a_session_goes_on_where_it_was_saved(llm: LLM, store: Store) -> None:
    with llm.session() as session:
        session.append(PROMPT)
        logits = known(session.logits)
        name = store.save(session)
        expected = session.generate([*PROMPT, 9], max_new_tokens=8, temperature=0)
    with store.open(llm, name) as again:
        assert again.tokens == PROMPT
        assert torch.allclose(known(again.logits), logits, atol=1e-4)
        if not slots_are_all(llm):
            assert torch.equal(known(again.logits), logits), "nothing was fed to know them"
        made = again.generate([*PROMPT, 9], max_new_tokens=8, temperature=0)
        assert made.tokens == expected.tokens
        assert made.stats.cached_tokens == len(PROMPT)
        assert store.save(again) == name
    # What was dropped is fed again.
    kept = store.tokens(name)
    assert kept[: len(PROMPT) + 1] == (*PROMPT, 9)
    store.prefixes.clear()
    with store.open(llm, "last") as again:
        assert again.tokens == list(kept)
        assert store.session(name).tokens == len(kept)


def test_a_conversation_feeds_only_what_is_new(llm: LLM, store: Store) -> None:
    begin = {"role": "system", "content": "be brief " * 10}
    with store.open(llm) as session:
        session.messages.append(begin)
        first = session.send("hi", max_new_tokens=4, temperature=0)
        name = store.save(
            session, stats=first.stats.as_dict(), settings={"temperature": 0, "shown": "x"}
        )
        expected = session.send("more", max_new_tokens=4)
    record = store.session(name)
    assert (record.title, record.messages, record.model) == ("hi", 3, llm.manifest["name"])
    assert record.program == llm.digests[0]
    answer = store.messages(name)[-1]
    assert (answer.message["content"], answer.stats) == (first.text, first.stats.as_dict())
    llm.generate([7, 8, 9], max_new_tokens=1)
    with store.open(llm, name) as session:
        assert session.defaults.temperature == 0
        assert [m["role"] for m in session.messages] == ["system", "user", "assistant"]
        found = session.send("more", max_new_tokens=4)
        assert (found.text, found.stats.cached_tokens) == (
            expected.text, expected.stats.cached_tokens,
        )  # fmt: skip
        assert found.stats.cached_tokens > 30
        assert store.save(session) == name
        with session.fork() as fork:
            other = store.save(fork)
    assert other != name
    assert [store.session(n).messages for n in (name, other)] == [5, 5]
    assert store.messages(name)[2].stats == first.stats.as_dict()


def test_a_session_of_another_program_keeps_its_messages(
    llm: LLM, chatting: LLM, store: Store
) -> None:
    store.create("other", program="0" * 64, settings={"top_k": 3})
    store.add("other", {"role": "user", "content": "hi"})
    store.set_tokens("other", [1, 2, 3], model="m", program="0" * 64, adapter="")
    with store.open(llm, "other") as session:
        assert session.position == 0
        assert session.messages == [{"role": "user", "content": "hi"}]
        assert session.defaults.top_k == 3
    with store.open(llm, "named") as session:
        assert store.save(session) == "named"
    with pytest.raises(ArgumentError, match="a session's id must be of letters"):
        store.open(llm, "no/path")


def test_what_does_not_fit_the_program_is_fed_again(
    chatting: LLM, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with store.open(chatting, "a") as session:
        session.append(PROMPT)
        store.save(session)
    snapshot = stored.snapshot(PROMPT, program=chatting.digests[0])
    store.prefixes.save(snapshot, stored.SLOTS)
    with store.open(chatting, "a") as session:
        assert session.tokens == PROMPT
    assert "is removed: the state is not of this program" in caplog.text
    assert store.prefixes.listed() == []


def test_prompts_go_on_from_stored_ones(llm: LLM, store: Store) -> None:
    question = [*PROMPT, 5, 6]
    llm.reset()
    expected = llm.generate(question, max_new_tokens=6, temperature=0).tokens
    llm.reset()
    with store.attach(llm) as cache:
        llm.generate(PROMPT, max_new_tokens=1)
        cache.flush()
        assert (cache.hits, cache.stored_tokens) == (0, len(PROMPT))
        llm.reset()
        made = llm.generate(question, max_new_tokens=6, temperature=0)
        assert made.tokens == expected
        assert made.stats.cached_tokens == len(PROMPT)
        assert (cache.hits, cache.reused_tokens) == (1, len(PROMPT))
        llm.generate([1, 2], max_new_tokens=1)  # too short to be stored
        with llm.session() as session:
            session.append(question)
            assert cache.hits == 2
        assert "2 hits, 274 tokens reused, 137 stored" in repr(cache)
    llm.reset()
    assert llm.generate(question, max_new_tokens=1).stats.cached_tokens == 0


def test_a_common_beginning_is_stored_by_itself(llm: LLM, store: Store) -> None:
    """In a recurrent program too, where a text goes on only where a state was stored."""
    with llm.session() as session:
        session.append(PROMPT)
        assert store.save_prefix(session) == len(PROMPT)
    assert store.sessions() == []
    with store.attach(llm) as cache:
        for last in (5, 6):
            llm.reset()
            assert llm.generate([*PROMPT, last], max_new_tokens=1).stats.cached_tokens == 137
        assert cache.hits == 2


def test_a_store_that_fails_slows_answers_only(
    chatting: LLM, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "s.db", wait_seconds=0)
    cache = store.attach(chatting)
    store.close()
    chatting.reset()
    with caplog.at_level(logging.WARNING):
        assert chatting.generate(PROMPT, max_new_tokens=2).tokens
        cache.close()
    assert "a prompt is fed that may be stored: the store is closed" in caplog.text
    assert "a prompt is not stored: the store is closed" in caplog.text
    with pytest.raises(ArgumentError, match="min_tokens must be a whole number from 1, not 0"):
        store.attach(chatting, min_tokens=0)


def test_a_program_that_gives_out_no_state(
    portable_bundle: Path, store: Store, tmp_path: Path
) -> None:
    bundle = shutil.copytree(portable_bundle, tmp_path / "b")
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["program"]["state"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with LLM.load(bundle) as llm:
        with pytest.raises(BundleRuntimeError, match="does not give out its state"):
            store.attach(llm)
        with pytest.raises(BundleRuntimeError, match="does not give out its state"):
            store.save_prefix(llm)
        with store.open(llm, "a") as session:
            session.send("hi", max_new_tokens=2)
            store.save(session)
        with store.open(llm, "text") as session:
            session.append(PROMPT)
            store.save(session)
        with store.open(llm, "text") as session:
            assert session.tokens == PROMPT, "they are fed again"
        with store.open(llm, "a") as session:
            assert len(session.messages) == 2
            assert session.send("more", max_new_tokens=2).tokens
    assert store.prefixes.listed() == []
