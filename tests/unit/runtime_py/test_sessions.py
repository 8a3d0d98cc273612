"""Sessions: several texts over one program, each as if it were alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from runtime_py import LLM

PROMPT = list(range(3, 40))


@pytest.fixture(scope="module", params=["attention", "recurrent"])
def loaded(request: pytest.FixtureRequest) -> LLM:
    name = "portable_bundle" if request.param == "attention" else "recurrent_bundle"
    found: Path = request.getfixturevalue(name)
    return LLM.load(found)


@pytest.fixture
def llm(loaded: LLM) -> LLM:
    loaded.reset()
    return loaded


def alone(llm: LLM, ids: list[int], count: int = 6) -> list[int]:
    with llm.session() as fresh:
        return fresh.generate(ids, max_new_tokens=count, temperature=0).tokens


def test_sessions_take_turns(llm: LLM) -> None:
    texts = [PROMPT, [9, 8, 7], list(range(60, 90))]
    expected = [alone(llm, text, 8) for text in texts]
    sessions = [llm.session() for _ in texts]
    for session, text in zip(sessions, texts, strict=True):
        session.append(text)
    for step in range(8):
        for session, tokens in zip(sessions, expected, strict=True):
            logits = session.logits
            assert logits is not None
            assert int(torch.argmax(logits)) == tokens[step]
            session.append([tokens[step]])
    assert [s.position for s in sessions] == [len(t) + 8 for t in texts]


def test_fork_and_truncate(llm: LLM) -> None:
    session = llm.session()
    session.append(PROMPT)
    fork = session.fork()
    session.append([70, 71])
    fork.append([80])
    assert session.generate(max_new_tokens=6, temperature=0).tokens == alone(llm, [*PROMPT, 70, 71])
    assert fork.generate(max_new_tokens=6, temperature=0).tokens == alone(llm, [*PROMPT, 80])
    session.truncate(20)
    assert session.tokens == PROMPT[:20]
    assert session.generate(max_new_tokens=6, temperature=0).tokens == alone(llm, PROMPT[:20])
    session.truncate(0)
    assert session.logits is None


def test_send(llm: LLM, tmp_path: Path) -> None:
    if llm.template is None:
        pytest.skip("no template")
    session = llm.session()
    session.send("hello", max_new_tokens=4)
    session.save(tmp_path / "s")
    second = session.send("again", max_new_tokens=4)
    assert [m["role"] for m in session.messages] == ["user", "assistant"] * 2
    assert second.stats.cached_tokens > 0
    other = llm.session()
    other.restore(tmp_path / "s")
    assert len(other.messages) == 2
    assert other.send("again", max_new_tokens=4).tokens == second.tokens


def test_slide(llm: LLM) -> None:
    session = llm.session(overflow="slide")
    session.append([3, *range(10, 200)] * 10)
    made = session.generate(max_new_tokens=300, temperature=0, ignore_eos=True)
    assert made.finish == "length"
    tokens = session.tokens
    session.append([5])
    assert session.generate(max_new_tokens=4, temperature=0).tokens == alone(llm, [*tokens, 5], 4)
