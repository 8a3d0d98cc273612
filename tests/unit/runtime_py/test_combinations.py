"""Settings and events together that other tests have one by one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime_py import LLM, BundleRuntimeError, Generation
from runtime_py.answer_parser import TaggedParser
from runtime_py.constraints import Constraint, Regex
from runtime_py.constraints.arguments import SYNTAXES
from runtime_py.constraints.lark import Lark
from runtime_py.constraints.library import check
from runtime_py.program import Program
from runtime_py.sampling import Sampler, Sampling
from runtime_py.tool_calls import ToolCall
from runtime_py.tool_formats import FORMATS

PROMPT = list(range(3, 40))


@pytest.fixture(
    scope="module", params=["attention", pytest.param("recurrent", marks=pytest.mark.slow)]
)
def llm(request: pytest.FixtureRequest) -> LLM:
    kind = "portable_bundle" if request.param == "attention" else "recurrent_bundle"
    return LLM.load(request.getfixturevalue(kind))


@pytest.fixture(scope="module")
def plain(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


@pytest.fixture(scope="module")
def stateless(portable_bundle: Path) -> LLM:
    llm = LLM.load(portable_bundle)
    llm.program._state = None
    return llm


def expected(llm: LLM, ids: Sequence[int]) -> torch.Tensor:
    with llm.session() as session:
        session.append(list(ids))
        logits = session.logits
    assert logits is not None
    return logits


def test_a_text_stays_whole_when_its_next_turn_is_cancelled(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = llm.session()
    made = session.generate(PROMPT, max_new_tokens=6, temperature=0, ignore_eos=True).tokens
    text = session.tokens
    assert text == [*PROMPT, *made[:-1]]
    step = Program.step

    def cancelled(program: Program, tokens: Sequence[int], **said: Any) -> torch.Tensor:
        stream.cancel()
        return step(program, tokens, **said)

    stream = session.stream([*text, *range(3, 300)], max_new_tokens=2)
    with monkeypatch.context() as patch:
        patch.setattr(Program, "step", cancelled)
        assert stream.read().finish == "cancelled"
    assert session.tokens == text
    goes_on = session.generate(max_new_tokens=4, temperature=0, ignore_eos=True).tokens
    with llm.session() as fresh:
        fresh.append(text)
        assert fresh.generate(max_new_tokens=4, temperature=0, ignore_eos=True).tokens == goes_on
    session.truncate(len(text))
    llm.generate([7, 8], max_new_tokens=1)  # another text needs the program
    assert session.tokens == text
    assert session.snapshot().tokens == tuple(text)
    logits = session.logits
    assert logits is not None
    assert torch.allclose(logits, expected(llm, text), atol=1e-4)


def test_a_snapshot_that_does_not_fit_leaves_the_text(llm: LLM) -> None:
    session = llm.session("hello")
    session.append(PROMPT)
    before = session.logits
    for wrong in (
        dataclasses.replace(session.snapshot(), tensors={}),
        dataclasses.replace(session.snapshot(), tokens=(*PROMPT, 10**9)),
    ):
        with pytest.raises(BundleRuntimeError):
            session.restore(wrong)
        assert (session.tokens, len(session.messages)) == (PROMPT, 1)
    llm.generate([7, 8], max_new_tokens=1)
    assert before is not None
    assert session.logits is not None
    assert torch.equal(session.logits, before)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["append", "truncate", "ask", "fork"]),
                  st.integers(0, 12)),
        min_size=3, max_size=10,
    )
)  # fmt: skip
@example([(False, "append", 12), (True, "append", 5), (False, "ask", 5)])
@example([(False, "append", 12), (True, "append", 5), (False, "truncate", 5)])
@settings(max_examples=6, deadline=None)
def test_texts_over_a_program_that_keeps_its_state(
    stateless: LLM, plain: LLM, done: list[tuple[bool, str, int]]
) -> None:
    sessions = [stateless.session(), stateless.session()]
    texts: list[list[int]] = [[], []]
    for which, what, size in done:
        session, text = sessions[which], texts[which]
        if what == "append":
            session.append(range(3, 3 + size))
            text += range(3, 3 + size)
        elif what == "truncate":
            del text[size:]
            session.truncate(len(text))
        elif what == "fork":
            sessions[not which], texts[not which] = session.fork(), list(text)
        elif text:  # a question about a beginning of the text
            del text[max(1, size) :]
            made = session.generate(list(text), max_new_tokens=1, temperature=0).tokens
            assert made == [int(torch.argmax(expected(plain, text)))]
    for session, text in zip(sessions, texts, strict=True):
        assert session.tokens == text
        if text:
            assert session.logits is not None
            assert torch.allclose(session.logits, expected(plain, text), atol=1e-4)


def test_whoever_waits_for_a_turn_can_be_cancelled(plain: LLM) -> None:
    session = plain.session()
    with plain.stream("abc", max_new_tokens=50) as first:
        next(first)
        for other in (plain.stream("abd"), session.stream("abd")):
            thread = threading.Thread(target=other.read)
            thread.start()
            time.sleep(0.02)
            other.cancel()
            thread.join(120)
            assert not thread.is_alive()
            assert (other.result.finish, other.result.tokens) == ("cancelled", [])

        async def ask() -> None:
            async with plain.astream("abd") as waiting:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(waiting), 0.05)

        asyncio.run(asyncio.wait_for(ask(), 120))
    assert plain.generate("abc", max_new_tokens=3).finish == "length"


def test_a_stream_that_another_thread_reads_is_cancelled_by_close(plain: LLM) -> None:
    def close(ids: list[int], logits: torch.Tensor) -> torch.Tensor:
        if len(stream.result.tokens) == 3:
            thread = threading.Thread(target=stream.close)
            thread.start()
            thread.join(120)
        return logits

    stream = plain.stream("abc", logits_processor=close, max_new_tokens=50, ignore_eos=True)
    assert stream.read().finish == "cancelled"
    assert len(stream.result.tokens) <= 5


def test_logits_that_are_kept_hold_no_others(plain: LLM) -> None:
    session = plain.session()
    session.append(PROMPT)
    for _ in range(2):
        logits = session.logits
        assert logits is not None
        assert logits.untyped_storage().nbytes() == logits.nbytes
        session.append([5])
        session.truncate(20)


def test_a_fork_has_the_tools_of_its_conversation(plain: LLM) -> None:
    session = plain.session()
    session.defaults = dataclasses.replace(session.defaults, max_new_tokens=3)
    session.send("hello", temperature=0)
    fork = session.fork()
    assert fork._asked == session._asked is not None
    assert fork.defaults == session.defaults


def test_penalties_count_what_was_not_sampled() -> None:
    sampler = Sampler(Sampling(temperature=0, frequency_penalty=1.0))
    for token in (2, 2, 1):
        sampler.take(token)
    assert sampler._scores(torch.zeros(4)).tolist() == [0, -1, -2, 0]


def test_tokens_that_end_an_answer_wait_until_it_is_complete(plain: LLM) -> None:
    def ask(rules: Constraint, *ends: str) -> Generation:
        ids = [plain.tokenizer.encode(text, raw=False)[0] for text in ends]
        return plain.generate("abc", constraint=rules, stop_ids=ids, seed=1, max_new_tokens=20)

    # "z" can end the answer behind "xy" alone, where it may also be part of it.
    for seed in range(5):
        made = plain.generate(
            "abc", constraint=Regex("xy(z|w)*"), seed=seed, max_new_tokens=20, temperature=2.0,
            stop_ids=plain.tokenizer.encode("z", raw=False),
        )  # fmt: skip
        assert made.text.startswith("xy")
    with pytest.raises(BundleRuntimeError, match="no token of the vocabulary can go on"):
        ask(Regex("q[0-9]"), "q")


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": NaN}', "has the number nan"),
        ('{"a": -1e999}', "has the number -inf"),
        ('{"a": ' + "[" * 80 + "]" * 80 + "}", "nested too deeply"),
        ('{"a": "\\ud83d\\ude00 \\ud800"}', {"a": "😀 �"}),
    ],
)
def test_calls_are_valid_json(arguments: str, read: Any) -> None:
    hermes = next(each for each in FORMATS if each.name == "hermes")
    parser = TaggedParser(None, hermes, {})
    text = f'{hermes.begins[0]}{{"name": "f", "arguments": {arguments}}}{hermes.end}'
    found = [*parser.push(text), *parser.finish()]
    if isinstance(read, dict):
        assert [each.call.arguments for each in found if each.call] == [read]
        return
    assert [each.kind for each in found] == ["text"]
    assert read in parser.errors[0]


@pytest.mark.parametrize("required", [None, 5, [{}], ["a", "a", "b"]])
def test_schemas_of_tools_may_be_wrong(required: Any) -> None:
    schema = {"properties": {"a": {"type": "string"}}, "required": required}
    for syntax in SYNTAXES:
        made = Lark({})
        body = syntax.expression(made, schema)
        check("the call", json.dumps({"grammars": [{"lark_grammar": made.lark(body)}]}), "")


def test_halves_of_characters_of_a_call_are_joined() -> None:
    made = ToolCall("\ud83d\ude00", {"\ud83d\ude00": ["\ud83d\ude00"]}).checked()
    assert (made.name, made.arguments) == ("😀", {"😀": ["😀"]})
