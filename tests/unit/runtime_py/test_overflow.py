"""What a session does when a turn would not fit the context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_py import LLM, ArgumentError, BundleRuntimeError
from runtime_py.chat_template import Message
from runtime_py.sessions import Overflow, Slide, Stop, Summarise
from runtime_py.sessions.overflow import POLICIES, AttentionSink, Turn, policy

SYSTEM: Message = {"role": "system", "content": "s" * 10}


@pytest.fixture(scope="module")
def llm(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


def size(messages: Any) -> int:
    return sum(len(message["content"]) for message in messages)


def conversation(turns: int, length: int = 20) -> list[Message]:
    said: list[Message] = [SYSTEM]
    for index in range(turns):
        said.append({"role": "user", "content": chr(97 + index % 26) * length})
        said.append({"role": "assistant", "content": chr(65 + index % 26) * length})
    return [*said, {"role": "user", "content": "?" * length}]


def turn(messages: list[Message], capacity: int = 100, answer: int = 10) -> Turn:
    return Turn(messages, size, capacity, answer)


def test_what_fits_is_not_touched() -> None:
    messages = conversation(1)
    for each in (Stop(), Slide(), Summarise(lambda m: [])):
        assert each.fitted(turn(messages)) == messages
    assert Stop().fitted(turn(conversation(9))) == conversation(9)


@settings(max_examples=60)
@given(st.integers(0, 30), st.integers(1, 60), st.floats(0.05, 0.95), st.integers(1, 90))
def test_sliding_keeps_the_system_message_and_the_newest_turns(
    turns: int, length: int, fraction: float, answer: int
) -> None:
    messages = conversation(turns, length)
    asked = turn(messages, answer=answer)
    kept = Slide(keep_fraction=fraction).fitted(asked)
    limit = 100 - min(answer, 25)
    if size(messages) <= limit:
        assert kept == messages
        return
    assert kept[0] == SYSTEM
    assert kept[1:] == messages[len(messages) - len(kept) + 1 :]
    assert kept[1]["role"] == "user"
    target = min(limit, int(100 * fraction))
    assert size(kept) <= target or len(kept) == 2  # else the newest message alone
    if turns and len(kept) < len(messages):
        longer = [SYSTEM, *messages[len(messages) - len(kept) - 1 :]]
        assert len(longer) == len(messages) or size(longer) > target


@settings(max_examples=60)
@given(st.integers(4, 50), st.integers(0, 60), st.floats(0.01, 0.99), st.integers(0, 60))
def test_sliding_a_text_leaves_room_and_keeps_both_ends(
    capacity: int, more: int, fraction: float, first: int
) -> None:
    ids = list(range(capacity + more))
    kept = Slide(keep_fraction=fraction).shortened(ids, capacity, first)
    head = min(first, capacity - 2)
    assert kept[:head] == ids[:head]
    assert len(kept) < capacity
    assert len(kept) == head or kept[head:] == ids[head - len(kept) :]


def test_a_summary_is_checked() -> None:
    long = turn(conversation(9))
    seen: list[list[Message]] = []

    def summary(messages: list[Message]) -> list[Message]:
        seen.append(messages)
        return [SYSTEM, messages[-1]]

    assert Summarise(summary).fitted(long) == [SYSTEM, long.messages[-1]]
    assert seen == [long.messages]
    refused: list[tuple[Any, str]] = [
        (lambda m: "short", "must be a list of messages, not str"),
        (lambda m: [], "must be a list of messages, not list"),
        (lambda m: m, "the summary has 390 tokens; 90 of the context's 100"),
    ]
    for wrong, words in refused:
        with pytest.raises(BundleRuntimeError, match=words):
            Summarise(wrong).fitted(long)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"keep_fraction": 1}, "keep_fraction must be between 0 and 1, not 1"),
        ({"keep_fraction": "half"}, "between 0 and 1, not 'half'"),
        ({"keep_first": -1}, "keep_first must be a whole number from 0, not -1"),
        ({"reserve": 0}, "reserve must be a whole number from 1, not 0"),
    ],
)
def test_settings_of_sliding_are_checked(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Slide(**said)


def test_policies_are_named(llm: LLM) -> None:
    assert set(POLICIES) == {"stop", "slide", "attention_sink", "summarise"}
    assert isinstance(policy(None, llm.program), Stop)
    assert isinstance(policy("slide", llm.program), Slide)
    with pytest.raises(ArgumentError, match="summary must be a function of messages, not int"):
        Summarise(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="keep_first=2047 leaves no room"):
        llm.session(overflow=Slide(keep_first=2047))


def test_policies_for_attention_sinks(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm.program, "attention_sink", True)
    assert isinstance(policy(None, llm.program), AttentionSink)
    for name in ("stop", "slide"):
        with pytest.raises(BundleRuntimeError, match=f"overflow='{name}' has no effect"):
            policy(name, llm.program)


def test_a_conversation_slides(llm: LLM) -> None:
    said = [{"role": "system", "content": "Be short."}]
    session = llm.session(said, overflow=Slide(keep_fraction=0.6))
    for index in range(5):
        session.send(f"{index}" * 600, max_new_tokens=4)
    users = [m["content"][0] for m in session.messages if m["role"] == "user"]
    assert users == ["3", "4"]
    assert session.messages[0] == said[0]
    last = session.send("and?", max_new_tokens=6)
    fresh = llm.session()
    assert fresh.generate(session.tokens[: last.stats.prompt_tokens], max_new_tokens=6).tokens == (
        last.tokens
    )


def test_an_answer_goes_on_behind_the_context(llm: LLM) -> None:
    session = llm.session([{"role": "system", "content": "Be short."}], overflow=Slide(reserve=1))
    made = session.send("x" * 1900, max_new_tokens=160, ignore_eos=True, temperature=0)
    assert (made.finish, len(made.tokens)) == ("length", 160)
    assert session.position < llm.program.context_length
    kept = llm.tokenizer.decode(session.tokens)
    assert "Be short." in kept  # the system message stays
    assert 100 < kept.count("x") < 1024


def test_a_conversation_is_summarised_by_the_model(llm: LLM) -> None:
    def summary(messages: list[Message]) -> list[Message]:
        with llm.session() as other:
            text = other.send("Sum up.", max_new_tokens=3).text
        return [{"role": "system", "content": f"So far: {text}"}, messages[-1]]

    session = llm.session(overflow=Summarise(summary))
    for index in range(4):
        session.send(f"{index}" * 600, max_new_tokens=4)
    assert [m["role"] for m in session.messages] == ["system", "user", "assistant"]
    assert session.messages[0]["content"].startswith("So far: ")


def test_a_policy_of_ones_own(llm: LLM) -> None:
    class Newest(Overflow):
        name = "newest"

        def fitted(self, turn: Turn) -> list[Message]:
            return turn.messages[-1:]

    session = llm.session(overflow=Newest())
    session.send("one", max_new_tokens=2)
    session.send("two", max_new_tokens=2)
    assert session.messages[0]["content"] == "two"
