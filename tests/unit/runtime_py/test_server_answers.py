"""Calls of tools, reasoning, limits and shutdown of the server, with a real program."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from chat_templates import TEMPLATES
from scripted_answers import says, with_template
from server_tools import USER, error_of, events

from runtime_py.server import Settings
from runtime_py.server.listen import background
from runtime_py.server.serving import Serving

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'
SCRIPT = f"<think>\nHm.\n</think>\n\nI look.\n{CALL}"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
Starts = Callable[..., contextlib.AbstractContextManager[tuple[httpx2.Client, Serving]]]


@pytest.fixture(scope="module")
def starts(portable_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Starts:
    """starts(**settings) -> (client, what serves) of a bundle whose model thinks and calls."""
    folder = tmp_path_factory.mktemp("b") / "bundle"
    with_template(portable_bundle, folder, TEMPLATES["qwen3"]).close()

    @contextlib.contextmanager
    def start(**settings: Any) -> Iterator[tuple[httpx2.Client, Serving]]:
        own = Settings(**{"port": 0, "verify_hashes": False, **settings})
        with (
            background(folder, own) as (address, serving),
            httpx2.Client(base_url=address, timeout=300) as client,
        ):
            yield client, serving

    return start


@pytest.fixture(scope="module")
def thinks(starts: Starts) -> Iterator[httpx2.Client]:
    """A server whose model writes ``SCRIPT``."""
    with starts() as (client, serving):
        plain = serving._arguments
        # The processor sees the logits of the model, as that of any caller.
        serving._arguments = lambda ask: {  # type: ignore[method-assign]
            **plain(ask), "logits_processor": says(serving.llm, SCRIPT)
        }  # fmt: skip
        yield client


def test_chat_completions_tell_parts_apart(thinks: httpx2.Client) -> None:
    body: dict[str, Any] = {"messages": USER, "tools": [TOOL]}
    (choice,) = thinks.post("/v1/chat/completions", json=body).json()["choices"]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "I look.")
    (call,) = message["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Zürich"}

    chunks = events(thinks.post("/v1/chat/completions", json={**body, "stream": True}).text)
    deltas = [c["delta"] for chunk in chunks for c in chunk["choices"]]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "Hm."
    assert "".join(d.get("content", "") for d in deltas) == "I look."
    (streamed,) = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert (streamed["index"], streamed["function"]) == (0, call["function"])

    result = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
    again = {**body, "messages": [*USER, message, result]}
    response = thinks.post("/v1/chat/completions", json=again)
    assert response.status_code == 200, response.text
    cached = response.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached > 20  # the turn goes on in the slot that has the conversation


def test_responses_tell_parts_apart(thinks: httpx2.Client) -> None:
    body = {"input": "w?", "tools": [{"type": "function", **TOOL["function"]}]}
    first = thinks.post("/v1/responses", json=body).json()
    kinds = [item["type"] for item in first["output"]]
    assert kinds == ["reasoning", "message", "function_call"]
    call = first["output"][2]
    assert json.loads(call["arguments"]) == {"city": "Zürich"}

    streamed = events(thinks.post("/v1/responses", json={**body, "stream": True}).text)
    done = [e["item"] for e in streamed if e["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == kinds
    assert streamed[-1]["response"]["output"] == done
    names = {e["type"] for e in streamed}
    assert {"response.reasoning_text.delta", "response.function_call_arguments.done"} <= names

    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    again = {"input": [output], "previous_response_id": first["id"]}
    assert thinks.post("/v1/responses", json=again).status_code == 200


def _slow(serving: Serving) -> None:
    """Each token of an answer takes at least 5 ms."""
    plain = serving._arguments

    def later(ids: list[int], logits: Any) -> Any:
        time.sleep(0.005)
        return logits

    serving._arguments = lambda ask: {  # type: ignore[method-assign]
        **plain(ask), "logits_processor": later
    }  # fmt: skip


def _asks(client: httpx2.Client, found: list[httpx2.Response], **given: Any) -> threading.Thread:
    body = {"messages": USER, "ignore_eos": True, "max_tokens": 1500, **given}

    def ask() -> None:
        found.append(client.post("/v1/chat/completions", json=body))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def _until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_limits(starts: Starts) -> None:
    found: list[httpx2.Response] = []
    with starts(max_queue=1, slots=1, timeout=1.2) as (client, serving):
        _slow(serving)
        first = _asks(client, found)
        _until(lambda: len(serving.running) == 1)
        second = _asks(client, found)
        _until(lambda: len(serving.queue) == 1)
        response = client.post("/v1/chat/completions", json={"messages": USER})
        assert error_of(response)[::3] == (429, "queue_full")
        assert response.headers["retry-after"] == "5"
        body = {"messages": USER, "stream": True, "max_tokens": 1500, "ignore_eos": True}
        first.join()
        second.join()
        for late in found:
            assert error_of(late)[::3] == (504, "deadline_exceeded")
            assert late.headers["x-should-retry"] == "false"
        _until(lambda: not serving.running)
        # What has begun cannot have another status any more.
        last = client.post("/v1/chat/completions", json=body)
        assert last.status_code == 200
        assert events(last.text)[-1]["error"]["code"] == "deadline_exceeded"
        assert "[DONE]" not in last.text


def test_a_server_that_stops_ends_what_waits(starts: Starts) -> None:
    found: list[httpx2.Response] = []
    with starts(slots=1) as (client, serving):
        _slow(serving)
        threads = [_asks(client, found)]
        _until(lambda: len(serving.running) == 1)
        threads.append(_asks(client, found))
        _until(lambda: len(serving.queue) == 1)
        serving.stop()
        threads[1].join()
        assert error_of(found[0])[::3] == (503, "stopping")
        assert len(serving.running) == 1
        serving.cancel_running()
        threads[0].join()
        assert error_of(found[1])[::3] == (503, "stopping")
        _until(lambda: not serving.running)
