"""The server as a process of its own, with OpenAI's client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from server_tools import KEY, USER

from runtime_py.store import Store

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def started(bundle: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """(process, address) of a server that has loaded its bundle."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime_py.server", str(bundle), "--port", "0", *words],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "LLM_API_KEY": KEY},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = ""
        while not line.startswith("serving "):
            line = process.stderr.readline()
            assert line, "the server has ended"
        yield process, line.split(" on ")[1].strip().removesuffix("/v1")
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "chats.db"


@pytest.fixture(scope="module")
def running(portable_bundle: Path, store: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words = ("--model-name", "tiny", "--slice", "8", "--store", str(store))
    with started(portable_bundle, *words) as found:
        yield found


@pytest.fixture
def address(running: tuple[subprocess.Popen[str], str]) -> str:
    return running[1]


def test_the_client_of_openai(address: str) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0)
    asked: dict[str, Any] = {"model": "tiny", "messages": USER, "max_tokens": 12}
    assert [model.id for model in client.models.list()] == ["tiny"]
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12

    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1,
              "maximum": 9}}, "required": ["n"], "additionalProperties": False}  # fmt: skip
    format: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    made = client.chat.completions.create(
        **{**asked, "max_tokens": 60},
        response_format=format,
    )
    assert json.loads(made.choices[0].message.content)["n"] in range(1, 10)

    with client.responses.stream(model="tiny", input="hi", max_output_tokens=6) as events:
        kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")
    first = client.responses.create(model="tiny", input="hi", max_output_tokens=6)
    second = client.responses.create(
        model="tiny", input="go on", previous_response_id=first.id, max_output_tokens=6
    )
    assert second.previous_response_id == first.id
    completed = client.completions.create(model="tiny", prompt="ab", max_tokens=3)
    assert completed.choices[0].finish_reason in ("length", "stop")

    with pytest.raises(openai.AuthenticationError, match="the API key is wrong"):
        client.with_options(api_key="no").models.list()
    with pytest.raises(openai.BadRequestError, match="leaves no room") as caught:
        client.completions.create(model="tiny", prompt="word " * 3000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-9'"):
        client.chat.completions.create(**{**asked, "model": "gpt-9"})
    with pytest.raises(openai.BadRequestError, match="does not embed"):
        client.embeddings.create(model="tiny", input="x")


def test_sixteen_clients_of_which_five_vanish(address: str) -> None:
    import openai

    tokens = 150

    async def one(number: int) -> int:
        async with openai.AsyncOpenAI(
            base_url=f"{address}/v1", api_key=KEY, max_retries=0
        ) as client:
            content = f"{number} " * (number + 1)
            stream = await client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": content}], stream=True,
                max_tokens=tokens, stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            )  # fmt: skip
            count = 0
            async for chunk in stream:
                count += 1
                if number % 3 == 1 and count == 5:  # with the connection
                    return -1
                if chunk.usage is not None:
                    return chunk.usage.completion_tokens
            return 0

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(16)))

    found = asyncio.run(all_of_them())
    assert [n for n, count in enumerate(found) if count == -1] == [1, 4, 7, 10, 13]
    assert sum(count == tokens for count in found) == 11
    header = {"Authorization": f"Bearer {KEY}"}
    text = httpx2.get(f"{address}/metrics", headers=header).text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert float(figures["llm_requests_running"]) == float(figures["llm_requests_waiting"]) == 0
    assert float(figures["llm_answers_cancelled_total"]) >= 1


def test_a_signal_lets_answers_end(portable_bundle: Path) -> None:
    body = {"messages": USER, "max_tokens": 1900, "ignore_eos": True, "stream": True}
    header = {"Authorization": f"Bearer {KEY}"}
    with (
        started(portable_bundle) as (process, address),
        httpx2.Client(base_url=address, headers=header, timeout=300) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        lines = response.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        refused = client.post("/v1/chat/completions", json=body)
        assert refused.status_code == 503
        assert client.get("/health").json() == {"status": "stopping"}
        assert list(lines)[-2:] == ["data: [DONE]", ""]
        assert process.wait(120) == 0


def test_a_killed_server_loses_no_stored_session(
    running: tuple[subprocess.Popen[str], str], store: Path
) -> None:
    process, address = running  # no test after this one has it
    header = {"Authorization": f"Bearer {KEY}"}
    acknowledged: list[str] = []

    def write(writer: int) -> None:
        with (
            httpx2.Client(base_url=address, headers=header) as client,
            contextlib.suppress(httpx2.HTTPError),
        ):
            for number in range(10_000):
                name = f"s{writer}-{number}"
                messages = [{"role": "user", "content": name * 200}] * 4
                body = {"messages": messages}
                if client.put(f"/api/sessions/{name}", json=body).status_code == 204:
                    acknowledged.append(name)

    writers = [threading.Thread(target=write, args=(i,)) for i in range(3)]
    for writer in writers:
        writer.start()
    while len(acknowledged) < 60:
        time.sleep(0.005)
    process.kill()
    for writer in writers:
        writer.join()
    with Store(store) as kept:
        for name in acknowledged:
            assert [m.message["content"] for m in kept.messages(name)] == [name * 200] * 4
        # What was written and not said yet is whole, too.
        assert all(len(kept.messages(each.id)) == 4 for each in kept.sessions(10_000))
