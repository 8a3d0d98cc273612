"""Bundles that transcribe and translate: from the recipe to the answer, and damaged ones."""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import torch
from server_tools import USER
from task_bundles import OF_TASK

from llm_export import api
from llm_export.errors import InputError, RecipeError
from llm_export.tasks.bench import text
from llm_export.tasks.transcription.sounds import sounds
from runtime_py import ArgumentError, BundleRuntimeError, Transcriber, Translator
from runtime_py.server import Settings
from runtime_py.server.listen import background


@pytest.fixture(scope="session")
def translates(once: Callable[..., Path]) -> Path:
    return once(*OF_TASK["translate"])


@pytest.fixture(scope="session")
def transcribes(once: Callable[..., Path]) -> Path:
    return once(*OF_TASK["transcribe"])


def test_a_translator(translates: Path) -> None:
    with Translator.load(translates) as translator:
        greedy = translator.translate("Hello", max_new_tokens=9)
        assert greedy.finish in ("eos", "length")
        assert len(greedy.tokens) <= 9
        assert greedy.stats.prompt_tokens == 6  # five bytes and the end
        # Another source in between: nothing of it is left.
        translator.translate("Something else", max_new_tokens=3)
        assert translator.translate("Hello", max_new_tokens=9).tokens == greedy.tokens
        assert translator.translate("Hello", prefix="x", max_new_tokens=1).stats.prompt_tokens == 8
        with translator.stream("Hello", max_new_tokens=9) as stream:
            assert "".join(stream) == greedy.text
        best = translator.translate(["Hello"], beams=3, max_new_tokens=9)[0]
        assert best.total >= greedy.total - 1e-4
        sampled = [
            translator.translate("Hello", temperature=2.0, seed=3, max_new_tokens=9).tokens
            for _ in range(2)
        ]
        assert sampled[0] == sampled[1]
        stream = translator.stream("Hello", max_new_tokens=9)
        next(stream)
        stream.cancel()
        assert stream.read().finish == "cancelled"
        assert translator.measure(translator.encode("Hello"), 1)[0] > 0
        with pytest.raises(ArgumentError, match="the text has 31 tokens; the model takes up to 24"):
            translator.translate("x" * 30)
        with pytest.raises(ArgumentError, match="there is no setting 'beam'"):
            translator.translate("x", beam=3)
    with pytest.raises(BundleRuntimeError, match="turns a text into another"):
        Transcriber.load(translates)
    parity = json.loads((translates / "parity.json").read_text())
    assert parity["verdict"]["faithful"] is True


def test_a_transcriber(transcribes: Path) -> None:
    sound = sounds(2, 40000, 16000)[1]
    with Transcriber.load(transcribes) as transcriber:
        short = transcriber.transcribe(sound[:16000], temperatures=(0.0,), max_new_tokens=6)
        assert short.language in ("en", "de")
        assert short.stats.windows == 1
        file = io.BytesIO()
        with wave.open(file, "wb") as target:
            target.setparams((1, 2, 16000, 0, "NONE", ""))
            target.writeframes((sound * 32767).to(torch.int16).numpy().tobytes())
        done: list[float] = []
        long = transcriber.transcribe(
            file.getvalue(), language="english", timestamps=True, temperatures=(0.0,),
            max_new_tokens=6, on_progress=lambda at, of: done.append(at / of),
        )  # fmt: skip
        assert long.language == "en"
        assert long.finish == "end"
        assert long.stats.windows >= 3
        assert done[-1] == 1.0
        assert all(0 <= s.start <= s.end <= 2.5 for s in long.segments)
        assert long.format("vtt").startswith("WEBVTT")
        stream = transcriber.stream(sound, language="de", temperatures=(0.0,), max_new_tokens=4)
        stream.cancel()
        assert [*stream] == []
        assert stream.result.finish == "cancelled"
        with transcriber.stream(sound, language="de", temperatures=(0.0,)) as stream:
            next(iter(stream), None)
        assert transcriber.measure(sound[:16000], 1)[0] > 0
        with pytest.raises(ArgumentError, match="cannot 'sing'"):
            transcriber.transcribe(sound, task="sing")
        with pytest.raises(ArgumentError, match="temperatures must be numbers from 0 to 10"):
            transcriber.transcribe(sound, temperatures=())
    with pytest.raises(BundleRuntimeError, match="transcribes speech"):
        Translator.load(transcribes)


def test_a_server_transcribes_as_openais_does(transcribes: Path) -> None:
    pytest.importorskip("python_multipart")
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams((1, 2, 16000, 0, "NONE", ""))
        target.writeframes(bytes(32000))
    sent = {"file": ("a.wav", file.getvalue())}
    with (
        background(transcribes, Settings(port=0, model_name="m")) as (address, serving),
        httpx2.Client(base_url=address, timeout=300) as client,
    ):
        found = client.post("/v1/audio/transcriptions", files=sent, data={"language": "en"})
        whole = client.post(
            "/v1/audio/translations", files=sent, data={"response_format": "verbose_json"}
        )
        assert (found.status_code, whole.status_code) == (200, 200)
        assert set(found.json()) == {"text", "usage"}
        assert (whole.json()["task"], whole.json()["duration"]) == ("translate", 1.0)
        for name, data, what in (
            ("a.wav", {"language": "xx"}, "does not know the language 'xx'"),
            ("a.png", {}, "no WAV file|cannot be decoded"),
        ):
            given = {"file": (name, b"PNG" if name == "a.png" else file.getvalue())}
            answer = client.post("/v1/audio/transcriptions", files=given, data=data)
            assert answer.status_code == 400
            assert re.search(what, answer.text), answer.text
        answer = client.post("/v1/chat/completions", json={"messages": USER})
        assert "transcribes speech and generates no text: use /v1/audio" in answer.text
        assert "POST /v1/audio/transcriptions" in client.get("/").text
        (model,) = client.get("/v1/models").json()["data"]
        assert (model["meta"]["chat"], model["meta"]["languages"]) == (False, ["de", "en"])
        assert "llm_transcribed_audio_seconds_total 2.0" in client.get("/metrics").text
        openai = pytest.importorskip("openai")
        with openai.OpenAI(base_url=f"{address}/v1", api_key="x", max_retries=0) as theirs:
            audio = ("a.wav", file.getvalue())
            named = {"model": "m", "file": audio, "temperature": 0.5, "extra_body": {"seed": 3}}
            assert theirs.audio.transcriptions.create(**named).text == (
                theirs.audio.transcriptions.create(**named, response_format="text").strip()
            )
            timed = theirs.audio.transcriptions.create(
                **named, response_format="verbose_json", timestamp_granularities=["segment"]
            )
            assert timed.duration == 1.0
            with pytest.raises(openai.BadRequestError, match="word timestamps are not"):
                theirs.audio.transcriptions.create(**named, timestamp_granularities=["word"])
        assert serving.running == []


@pytest.mark.slow
def test_speed_profile_and_scores_are_of_the_task(transcribes: Path, tmp_path: Path) -> None:
    pytest.importorskip("jiwer")
    bundle = transcribes
    found = api.bench(bundle, decode_length=4, repetitions=1, warmup=0, threads=1)
    names = [each["name"] for each in found["measures"]]
    assert names == ["encode", "decode", "real_time"]
    assert all(each["value"] > 0 for each in found["measures"])
    assert "times real time" in text(found, "table")
    assert text(found, "csv").count("\n") == len(names)
    with pytest.raises(RecipeError, match="has no depth"):
        api.bench(bundle, depth=4)
    with pytest.raises(RecipeError, match="is measured at one decode length"):
        api.bench(bundle, decode_length=[4, 8])
    wrong = tmp_path / "examples.jsonl"
    wrong.write_text('{"audio": "a.wav", "text": "?!"}')
    with pytest.raises(InputError, match="example 1: the text has no words"):
        api.score(bundle, wrong)
    with wave.open(str(tmp_path / "a.wav"), "wb") as target:
        target.setparams((1, 2, 16000, 0, "NONE", ""))
        target.writeframes(bytes(32000))
    wrong.write_text(json.dumps({"audio": str(tmp_path / "a.wav"), "text": "Hello there"}))
    scored = {each["name"]: each["value"] for each in api.score(bundle, wrong)["measures"]}
    assert scored["wer"] >= 0.5
    assert scored["audio"] == 1.0
    step = api.profile(bundle, depth=3)
    assert (step.phase, step.method, step.depth, step.tokens) == ("decode", "decoder", 3, 1)
    encoder = api.profile(bundle, phase="encoder")
    assert (encoder.phase, encoder.tokens) == ("encoder", 100)
    assert any(part.module.startswith("encoder.") for part in encoder.parts)
    for settings, what in (
        ({"phase": "sing"}, "choices: decode, decoder, encoder, features, prefill"),
        ({"phase": "encoder", "depth": 1}, "the method encoder has no caches"),
        ({"phase": "encoder", "tokens": 9}, "have one length"),
        ({"adapter": "x"}, "no adapters"),
    ):
        with pytest.raises(RecipeError) as error:
            api.profile(bundle, **settings)
        assert what in str(error.value)
