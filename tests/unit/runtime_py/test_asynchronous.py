"""Answers in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runtime_py import LLM, ArgumentError

T = TypeVar("T")
USER = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def loaded(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


@pytest.fixture
def llm(loaded: LLM) -> LLM:
    loaded.reset()
    return loaded


def within(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60))


def test_answers_are_those_without_a_loop(llm: LLM) -> None:
    text, chat = llm.generate("abc", max_new_tokens=9), llm.chat("hello", max_new_tokens=9)

    async def ask() -> None:
        made = await asyncio.gather(
            llm.agenerate("abc", max_new_tokens=9), llm.achat("hello", max_new_tokens=9),
            llm.achat(USER, max_new_tokens=9),
        )  # fmt: skip
        assert [each.tokens for each in made] == [text.tokens, chat.tokens, chat.tokens]
        stream = llm.astream(USER, max_new_tokens=9)
        pieces = [piece async for piece in stream]
        assert "".join(pieces) == chat.text == stream.result.text
        assert [piece async for piece in stream] == []
        async with llm.astream("abc", max_new_tokens=9) as other:
            assert "".join([delta.text async for delta in other.deltas()]) == text.text

    within(ask())


def test_tokens_are_computed_when_they_are_asked_for(llm: LLM) -> None:
    async def ask() -> None:
        async with llm.astream("abc", max_new_tokens=500) as stream:
            await anext(stream)
            before = len(stream.result.tokens)
            await asyncio.sleep(0.1)
            assert len(stream.result.tokens) == before < 20
        assert stream.result.finish != "length"
        assert (await llm.agenerate("abc", max_new_tokens=2)).tokens

    within(ask())


def test_a_loop_goes_on_meanwhile(llm: LLM) -> None:
    async def ask() -> int:
        ticks = 0
        answer = asyncio.ensure_future(llm.agenerate("abc", max_new_tokens=150, ignore_eos=True))
        while not answer.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return ticks

    assert within(ask()) > 5


def test_a_cancelled_task_cancels_its_answer(llm: LLM) -> None:
    async def ask() -> None:
        task = asyncio.ensure_future(llm.agenerate("abc", max_new_tokens=1500, ignore_eos=True))
        await asyncio.sleep(0.05)
        task.cancel()
        begin = time.perf_counter()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        # The next one needs not wait for the rest of it.
        assert (await llm.agenerate("abc", max_new_tokens=2)).tokens
        assert time.perf_counter() - begin < 5

    within(ask())


def test_a_waiting_answer_can_be_cancelled(llm: LLM) -> None:
    async def ask() -> None:
        async with llm.astream("abc", max_new_tokens=50) as first:
            await anext(first)
            second = asyncio.ensure_future(llm.agenerate("xyz"))
            await asyncio.sleep(0.02)
            second.cancel()
            rest = await first.read()
            assert rest.finish == "length"
        assert (await llm.agenerate("abc", max_new_tokens=2)).tokens

    within(ask())


def test_a_stream_can_be_cancelled(llm: LLM) -> None:
    async def ask() -> None:
        stream = llm.astream("abc", max_new_tokens=500)
        said = [await anext(stream)]
        stream.cancel()
        said += [piece async for piece in stream]
        assert stream.result.finish == "cancelled"
        assert "".join(said) == stream.result.text
        never = llm.astream("abc")
        never.cancel()
        assert (await never.read()).tokens == []

    within(ask())


def test_a_stream_that_is_left_frees_the_model(llm: LLM) -> None:
    async def ask() -> None:
        async for _ in llm.astream("abc", max_new_tokens=50):
            break
        assert (await llm.agenerate("abc", max_new_tokens=2)).tokens

    within(ask())


def test_errors_reach_the_task(llm: LLM) -> None:
    async def ask() -> None:
        with pytest.raises(ArgumentError, match="token id 999"):
            await llm.agenerate([999])
        with pytest.raises(ArgumentError, match="top_k must be"):
            async for _ in llm.astream("abc", top_k="1"):
                pass
        assert (await llm.agenerate("abc", max_new_tokens=2)).tokens

    within(ask())
