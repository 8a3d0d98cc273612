"""Who may use the server, how requests wait, and what its options are: without a model."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_tools import KEY, asked, error_of

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.server import Settings, bodies, packages, serve
from runtime_py.server.__main__ import main
from runtime_py.server.errors import ApiError
from runtime_py.server.messages import messages
from runtime_py.server.queue import FairQueue, Full
from runtime_py.server.response_items import input_messages
from runtime_py.server.response_memory import Kept, Memory
from runtime_py.server.serving import Serving
from runtime_py.server.sse import _line
from runtime_py.server.words import TokenTexts


def _nothing() -> Any:
    raise AssertionError("nothing is loaded here")


def serving(**said: Any) -> Serving:
    """One that does not begin to load."""
    return Serving(Settings(**said), _nothing)


def test_while_it_loads_and_stops() -> None:
    made = serving()
    assert asked(made, "GET", "/health").json() == {"status": "loading"}
    body = {"messages": [{"role": "user", "content": "x"}]}
    response = asked(made, "POST", "/v1/chat/completions", json=body)
    assert error_of(response)[::3] == (503, "loading")
    assert response.headers["retry-after"] == "2"
    made.stop()
    assert asked(made, "GET", "/health").json() == {"status": "stopping"}
    response = asked(made, "POST", "/v1/chat/completions", json=body)
    assert error_of(response)[::3] == (503, "stopping")
    assert response.headers["x-should-retry"] == "false"


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    monkeypatch.setattr(bodies, "_PATIENCE", 0.05)
    response = asked(serving(), "POST", "/v1/chat/completions", content=slow())
    assert error_of(response)[::3] == (408, "request_timeout")
    assert "not complete within 0.05 s" in response.text


def test_keys() -> None:
    made = serving(api_keys=("other", KEY))
    for header, text in (
        ({}, "an API key is needed"),
        ({"Authorization": "Bearer no"}, "the API key is wrong"),
        ({"Authorization": f"Basic {KEY}"}, "an API key is needed"),
        ({"Authorization": "Bearer k\u00fc".encode("latin-1")}, "the API key is wrong"),
    ):
        response = asked(made, "GET", "/metrics", headers=header)
        assert error_of(response)[::3] == (401, "invalid_api_key")
        assert text in response.text
    good = {"Authorization": f"Bearer {KEY}"}
    assert asked(made, "GET", "/metrics", headers=good).status_code == 200
    assert asked(made, "GET", "/health").status_code == 503  # needs none


@pytest.mark.parametrize(
    ("host", "settings", "code"),
    [
        ("localhost:8080", {}, None),
        ("127.0.0.1", {}, None),
        ("[::1]:8080", {}, None),
        ("evil.example", {}, "host_not_allowed"),
        ("localhost.evil.example", {}, "host_not_allowed"),
        ("[", {}, "host_not_allowed"),
        ("box.lan", {"allow_hosts": ("box.lan",)}, None),
        ("box.lan", {"host": "0.0.0.0"}, None),
    ],
)
def test_hosts(host: str, settings: dict[str, Any], code: str | None) -> None:
    response = asked(serving(**settings), "GET", "/metrics", headers={"Host": host})
    assert (response.status_code == 200) if code is None else error_of(response)[::3] == (403, code)


def test_origins() -> None:
    page = {"Origin": "https://page.example"}
    own = {"Origin": "http://127.0.0.1:80", "Host": "127.0.0.1:80"}
    assert error_of(asked(serving(), "GET", "/metrics", headers=page))[3] == "origin_not_allowed"
    response = asked(serving(), "GET", "/metrics", headers=own)
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers
    for odd in ("null", "http://[", "127.0.0.1"):
        odd_page = {"Origin": odd}
        found = asked(serving(), "GET", "/metrics", headers=odd_page)
        assert error_of(found)[3] == "origin_not_allowed", odd
    made = serving(allow_origins=("https://page.example",), api_keys=(KEY,))
    asks = {**page, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    response = asked(made, "OPTIONS", "/v1/chat/completions", headers=asks)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://page.example"
    response = asked(made, "GET", "/metrics", headers=page)
    assert response.status_code == 401


def test_the_log_has_a_line_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "runtime_py.server"):
        response = asked(serving(), "GET", "/health?secret=1")
        asked(serving(), "GET", "/a-secret")
    first, second = (json.loads(r.message) for r in caplog.records if r.name == "runtime_py.server")
    assert first["id"] == response.headers["x-request-id"]
    assert (first["method"], first["route"], first["status"]) == ("GET", "/health", 503)
    assert (second["route"], second["status"]) == ("unknown", 404)
    assert KEY not in repr(Settings(api_keys=(KEY,)))
    assert "secret" not in json.dumps([first, second])


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=20),
    st.integers(min_value=1, max_value=30),
)
def test_clients_take_turns(items: list[tuple[str, int]], most: int) -> None:
    queue: FairQueue[tuple[str, int, int]] = FairQueue(most)
    put = []
    for number, (client, value) in enumerate(items):
        try:
            queue.put(client, (client, value, number))
            put.append((client, value, number))
        except Full:
            assert len(queue) == most
    taken = []
    while (item := queue.take(wait=False)) is not None:
        taken.append(item)
    assert sorted(taken, key=lambda item: item[2]) == put
    for client in "abc":
        own = [number for name, _, number in taken if name == client]
        assert own == sorted(own)
    for at, (client, _, _) in enumerate(taken):
        # Who is asked twice has let all others that wait have their turn in between.
        last = next((k for k in reversed(range(at)) if taken[k][0] == client), None)
        if last is not None:
            waiting = {name for name, _, _ in taken[at:]} - {client}
            assert waiting <= {name for name, _, _ in taken[last:at]}


def test_a_queue_lets_go() -> None:
    queue: FairQueue[str] = FairQueue(3)
    for name in ("x", "y", "z"):
        queue.put("a", name)
    assert queue.remove("y")
    assert not queue.remove("y")
    assert queue.drain() == ["x", "z"]
    assert (len(queue), queue.take(wait=False)) == (0, None)
    queue.close()
    assert queue.take() is None


def test_responses_are_forgotten() -> None:
    memory = Memory(most=2, size=400)
    for name in ("a", "b"):
        memory.add(name, Kept([{"content": name}], {}))
    assert memory.get("a")
    memory.add("c", Kept([{"content": "c"}], {}))
    assert [bool(memory.get(name)) for name in "abc"] == [True, False, True]
    memory.add("d", Kept([{"content": "x" * 1000}], {}))
    assert len(memory) == 0
    assert not memory.remove("d")


def test_messages_are_as_templates_take_them() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}}
    made = messages([
        {"role": "developer", "content": [{"type": "text", "text": "a"},
                                          {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
    ])  # fmt: skip
    assert made[0] == {"role": "system", "content": "ab"}
    assert made[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": [1]}}
    assert made[1]["content"] == ""
    assert made[2] == {"role": "tool", "content": "4", "tool_call_id": "c1"}
    items: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_text", "text": "q"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
    ]
    user, calls, result = input_messages(items)
    assert user == {"role": "user", "content": "q"}
    assert [call["id"] for call in calls["tool_calls"]] == ["c1", "c2"]
    assert result["tool_call_id"] == "c1"


def test_a_chunk_of_a_stream_is_one_line_for_any_client() -> None:
    text = "a\x85b\u2028c\u2029d\r\n\u00e9"
    written = _line({"text": text})
    assert written.splitlines() == [written]
    assert json.loads(written) == {"text": text}


def test_a_full_queue_is_told_before_a_prompt_is_encoded() -> None:
    made = serving(max_queue=1)
    made.queue.put("a", None)  # type: ignore[arg-type]
    with pytest.raises(ApiError, match="1 requests are waiting"):
        made.check_room()


def test_bytes_of_tokens() -> None:
    texts = TokenTexts({0: "\u0120caf", 1: "\u00c3", 2: "<|end|>"}, byte_level=True)
    assert [texts.raw(i) for i in range(3)] == [b" caf", b"\xc3", b"<|end|>"]
    pieces = TokenTexts({0: "\u2581the", 1: "<0xE2>", 3: "<0xno>"}, byte_level=False)
    assert [pieces.raw(i) for i in range(4)] == [b" the", b"\xe2", b"", b"<0xno>"]
    assert pieces.longest == 6


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"port": 70000}, "port must be a whole number from 0 to 65535, not 70000"),
        ({"timeout": 0}, "timeout must be a number"),
        ({"max_queue": True}, "max_queue must be a whole number"),
        ({"api_keys": ("",)}, "an API key must be printable"),
        ({"allow_origins": ("page.example",)}, "no origin: 'page.example'"),
    ],
)
def test_settings(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text.replace("(", r"\(")):
        Settings(**settings)


def test_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    assert main(["bundle", "--api-key-file", str(keys)]) == 2
    assert "the file of API keys cannot be read" in capsys.readouterr().err
    keys.write_text("\n")
    assert main(["bundle", "--api-key-file", str(keys)]) == 2
    assert "the file of API keys is empty" in capsys.readouterr().err
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(BundleRuntimeError, match=r"pip install 'llm_export\[serve\]'"):
        serve("bundle")


def test_a_bundle_that_cannot_be_loaded_ends_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--port", "0"]) == 2
    assert "error: " in capsys.readouterr().err


def test_the_verb_takes_the_same_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from llm_export import api
    from llm_export.cli.main import main as command

    given: dict[str, Any] = {}
    monkeypatch.setattr(api, "serve", lambda bundle, **settings: given.update(settings))
    words = [
        "--port",
        "0",
        "--slots",
        "2",
        "--engine",
        "runner",
        "--tokenizer",
        "t.json",
        "--allow-origin",
        "*",
        "--store",
        "chats.db",
    ]
    monkeypatch.setenv("LLM_API_KEY", KEY)
    (tmp_path / "manifest.json").touch()
    assert command(["serve", str(tmp_path), *words]) == 0
    expected = Settings(
        port=0,
        slots=2,
        engine="runner",
        tokenizer="t.json",
        allow_origins=("*",),
        store=Path("chats.db"),
        api_keys=(KEY,),
    )
    assert Settings(**given) == expected
    assert command(["serve", str(tmp_path), "--port", "-1"]) == 2
    assert "port must be a whole number" in capsys.readouterr().err


def test_an_address_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        (tmp_path / "manifest.json").touch()
        assert main([str(tmp_path), "--port", port]) == 2
    said = capsys.readouterr().err
    assert "the server cannot listen: Address already in use" in said
    assert "another --port" in said
