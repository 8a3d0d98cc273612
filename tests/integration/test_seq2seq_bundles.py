"""Bundles that transcribe and translate: from the recipe to the answer, and damaged ones."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from llm_export import api
from llm_export.tasks.transcription.sounds import sounds
from runtime_py import ArgumentError, BundleRuntimeError, Transcriber, Translator

FAST = ("backend=portable", "verify.positions=64", "benchmark.repetitions=1")
SMALL_T5 = (
    "model=tiny_t5", "runtime.context_length=24", "model.config.num_layers=1",
    "model.config.num_decoder_layers=1", 'model.task_options.prefixes={x: "X "}',
)  # fmt: skip
SMALL_WHISPER = (
    "model=tiny_whisper", "model.config.encoder_layers=1", "model.config.decoder_layers=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def made(once: Callable[..., Path]) -> Callable[..., Path]:
    def make(*words: str) -> Path:
        def run(out: Path) -> None:
            api.run(api.compose(None, [*words, *FAST, f"out={out}"]), quiet=True)

        return once(run, "bundle", *words)

    return make


@pytest.mark.slow
def test_a_translator(made: Callable[..., Path]) -> None:
    bundle = made(*SMALL_T5)
    with Translator.load(bundle) as translator:
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
        Transcriber.load(bundle)
    parity = json.loads((bundle / "parity.json").read_text())
    assert parity["verdict"]["faithful"] is True


@pytest.mark.slow
def test_a_transcriber(made: Callable[..., Path]) -> None:
    bundle = made(*SMALL_WHISPER)
    sound = sounds(2, 40000, 16000)[1]
    with Transcriber.load(bundle) as transcriber:
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
        Translator.load(bundle)
