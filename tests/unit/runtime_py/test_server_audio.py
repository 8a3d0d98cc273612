"""Requests with an audio, up to the model; with a model: tests/integration."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from server_tools import error_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime_py.errors import ArgumentError
from runtime_py.server.errors import ApiError
from runtime_py.server.forms import read_form
from runtime_py.server.routes.audio import AudioBody, _check, _named, _written
from runtime_py.server.settings import Settings
from runtime_py.speech.transcript import Segment, SpeechStats, Transcript

FILE = {"file": ("a.wav", b"RIFF")}


async def _echo(request: Request) -> Response:
    try:
        body, data = await read_form(request, AudioBody)
        _check(body, can_time=False)
    except ApiError as error:
        return error.response()
    return JSONResponse([body.model_dump(exclude_none=True), data.decode()])


def sent(**given: Any) -> httpx2.Response:
    pytest.importorskip("python_multipart")

    async def ask() -> httpx2.Response:
        app = Starlette(routes=[Route("/", _echo, methods=["POST"])])
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/", **given)

    return asyncio.run(ask())


def test_fields_of_a_form_have_their_kinds() -> None:
    fields = {"model": "m", "temperature": "0.5", "timestamp_granularities[]": "segment",
              "stream": "false"}  # fmt: skip
    assert sent(files=FILE, data=fields).json() == [
        {"model": "m", "response_format": "json", "temperature": 0.5, "stream": False,
         "timestamp_granularities": ["segment"]},
        "RIFF",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        (
            {"files": FILE, "data": {"language": "de", "language[]": "en"}}, "language",
            "valid string",
        ),
        ({"json": {}}, None, "must be multipart/form-data, with the audio in the field 'file'"),
        ({"files": {"other": ("a", b"")}}, "other", "the field 'other' must be a text"),
        ({"files": FILE, "data": {"langage": "de"}}, "langage", "did you mean 'language'"),
        ({"files": FILE, "data": {"temperature": "2"}}, "temperature", "less than or equal to 1"),
        ({"files": FILE, "data": {"stream": "true"}}, "stream", "the answer comes whole"),
        ({"files": FILE, "data": {"response_format": "xml"}}, "response_format", "one of json"),
        ({"files": FILE, "data": {"response_format": "srt"}}, "response_format", "no timestamps"),
        ({"files": FILE, "data": {"include[]": "logprobs"}}, "include", "log probabilities"),
        (
            {"files": FILE, "data": {"timestamp_granularities[]": "word"}},
            "timestamp_granularities", "word timestamps are not",
        ),
        (
            {"files": FILE, "data": {"known_speaker_names[]": "Ada"}},
            "known_speaker_names", "no speaker diarization",
        ),
        ({"files": FILE, "data": {"chunking_strategy": "x"}}, "chunking_strategy", "must be auto"),
    ],
)  # fmt: skip
def test_wrong_forms(given: dict[str, Any], param: str | None, message: str) -> None:
    found = error_of(sent(**given))
    assert (found[0], found[2]) == (400, param)
    assert message in found[1]


def test_a_form_without_a_file() -> None:
    found = error_of(sent(files={"model": (None, "m")}))
    assert found[1:] == ("the field 'file' is missing", "file", "missing_required_parameter")


@pytest.mark.parametrize(
    ("what", "fix", "param"),
    [
        ("the audio is empty", None, "file"),
        ("the model cannot 'translate'", "choices: transcribe", None),
        ("the model does not know the language 'xx'", "it knows en", "language"),
        ("the model takes no text before an audio", "leave prompt out", "prompt"),
        ("seed must be a whole number of 64 bits", None, "seed"),
    ],
)
def test_the_parameter_of_a_refusal(what: str, fix: str | None, param: str | None) -> None:
    assert _named(ArgumentError(what, fix=fix)) == param


def test_the_kind_of_a_body_in_capitals() -> None:
    kind = {"content-type": "Multipart/Form-Data; boundary=x"}
    assert error_of(sent(content=b"--x--", headers=kind))[1] == "the field 'file' is missing"


def test_answers() -> None:
    segment = Segment(0.5, 1.25, " Hello", (4, 5), -0.25, 0.1)
    made = Transcript("Hello", "en", [segment], stats=SpeechStats(2.0))
    assert json.loads(bytes(_written(made, "json", "transcribe").body))["text"] == "Hello"
    assert _written(made, "text", "transcribe").body == b"Hello\n"
    vtt = _written(made, "vtt", "transcribe")
    assert vtt.headers["content-type"].startswith("text/vtt")
    whole = json.loads(bytes(_written(made, "verbose_json", "translate").body))
    assert (whole["task"], whole["language"], whole["duration"]) == ("translate", "english", 2.0)
    (each,) = whole["segments"]
    assert (each["start"], each["end"], each["tokens"]) == (0.5, 1.25, [4, 5])
    assert whole["usage"] == {"type": "duration", "seconds": 2.0}


def test_the_limit_of_an_audio() -> None:
    assert (Settings().max_json, Settings().max_audio) == (8 * 2**20, 25 * 2**20)
    stated = Settings(max_body=8 * 2**20)
    assert (stated.max_json, stated.max_audio) == (8 * 2**20, 8 * 2**20)
