"""Audio files, transcripts, and what is wrong with an audio or an argument."""

from __future__ import annotations

import argparse
import io
import json
import struct
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from runtime_py import ArgumentError, BundleRuntimeError
from runtime_py.cli import transcribe
from runtime_py.seq2seq.search import Search
from runtime_py.speech.audio import read_audio
from runtime_py.speech.languages import language_code
from runtime_py.speech.long_form import Decoding, LongForm
from runtime_py.speech.settings import SpeechSettings
from runtime_py.speech.timestamps import Span, spans
from runtime_py.speech.transcriber import Listening
from runtime_py.speech.transcript import Segment, Transcript, joined

TONE = torch.sin(torch.arange(1600) / 16000 * 2 * torch.pi * 440) * 0.5


def wav(body: bytes, kind: int, channels: int, bits: int, rate: int = 16000) -> bytes:
    width = bits // 8 * channels
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pcm(values: torch.Tensor, bits: int) -> bytes:
    whole = (values.double() * 2 ** (bits - 1)).round().long().tolist()
    if bits == 8:
        return bytes(v + 128 for v in whole)
    return b"".join(v.to_bytes(bits // 8, "little", signed=True) for v in whole)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_whole_numbers_of_any_width(bits: int) -> None:
    found = read_audio(wav(pcm(TONE, bits), 1, 1, bits), 16000)
    assert found.dtype == torch.float32
    assert float((found - TONE).abs().max()) < 2.0 ** (1 - bits) + 1e-6


@pytest.mark.parametrize(("bits", "dtype"), [(32, torch.float32), (64, torch.float64)])
def test_floats_and_two_channels(bits: int, dtype: torch.dtype) -> None:
    both = torch.stack((TONE, -0.5 * TONE), dim=1).to(dtype)
    found = read_audio(wav(both.numpy().tobytes(), 3, 2, bits), 16000)
    assert float((found - 0.25 * TONE).abs().max()) < 1e-6


def test_the_standard_librarys_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(pcm(TONE, 16))
    assert torch.equal(read_audio(path, 16000), read_audio(path.read_bytes(), 16000))
    assert float((read_audio(str(path), 16000) - TONE).abs().max()) < 1e-4


def test_a_stream_that_does_not_know_its_length(caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(wav(pcm(TONE, 16), 1, 1, 16))
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert len(read_audio(bytes(data), 16000)) == len(TONE)
    assert not caplog.messages


@pytest.mark.parametrize(("kept", "seconds"), [(400, "0.1"), (0, "0.0")])
def test_a_file_that_is_cut_off(kept: int, seconds: str, caplog: pytest.LogCaptureFixture) -> None:
    long = wav(pcm(TONE.repeat(4), 16), 1, 1, 16)
    less = 2 * (4 * len(TONE) - 4 * kept)
    found = read_audio(long[: len(long) - less], 16000)
    assert len(found) == 4 * kept
    assert caplog.messages == [
        f"the bytes given: the WAV file is cut off: {seconds} s of its 0.4 s are there"
    ]


@pytest.mark.slow  # scipy.signal is imported in a second
def test_audio_of_another_rate_is_resampled() -> None:
    long = torch.sin(torch.arange(44100) / 44100 * 2 * torch.pi * 440) * 0.5
    found = read_audio(long, 16000, sample_rate=44100)
    wanted = torch.sin(torch.arange(16000) / 16000 * 2 * torch.pi * 440) * 0.5
    assert len(found) == 16000
    # The filter knows nothing of what is before and behind the audio.
    assert float((found - wanted)[200:-200].abs().max()) < 1e-3


def test_other_formats_need_soundfile() -> None:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, TONE.numpy(), 16000, format="FLAC")
    assert float((read_audio(file.getvalue(), 16000) - TONE).abs().max()) < 1e-4
    with pytest.raises(ArgumentError, match="too long: it has more than 100 samples"):
        read_audio(file.getvalue(), 16000, most=100)


def test_an_audio_of_more_samples_than_asked_for() -> None:
    given = wav(pcm(TONE, 16), 1, 1, 16, rate=1000)
    with pytest.raises(ArgumentError, match="too long: it has more than"):
        read_audio(given, 16000, most=len(TONE) * 15)


def test_samples_as_whole_numbers() -> None:
    whole = (TONE * 32767).round().to(torch.int16)
    assert float((read_audio(whole.numpy(), 16000) - TONE).abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (b"", "the audio is empty"),
        (wav(b"", 0x55, 1, 16), "MP3"),
        (wav(pcm(TONE, 16), 1, 1, 16)[:14], "no format"),
        (wav(pcm(TONE, 16), 1, 1, 12), "12 bits"),
        (torch.tensor([0.0, float("nan")]), "no numbers"),
        (torch.zeros(2, 2, 2), r"an array \[N\]"),
        (torch.zeros(16000, 2), r"16000 channels\n.*samples\.T"),
        (wav(pcm(TONE, 16), 1, 1, 16, rate=1), "1 samples a second is not resampled"),
        ({"a": 1}, "path, bytes, or an array"),
        ("nowhere.wav", "cannot be read"),
    ],
)
def test_what_is_wrong_with_an_audio(source: Any, what: str) -> None:
    with pytest.raises(ArgumentError, match=what):
        read_audio(source, 16000)


def test_formats_of_a_transcript() -> None:
    made = Transcript(
        "One <two> three", "en",
        [Segment(0.0, 1.5, " One <two>"), Segment(3661.25, 3662.0, " three --> x\n\ny")],
    )  # fmt: skip
    assert made.format("text") == "One <two> three"
    assert made.format("srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nOne <two>\n\n"
        "2\n01:01:01,250 --> 01:01:02,000\nthree -> x y"
    )
    assert made.format("vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nOne &lt;two&gt;\n\n"
        "01:01:01.250 --> 01:01:02.000\nthree -&gt; x y"
    )
    assert json.loads(made.format("json"))["segments"][0] == {
        "start": 0.0, "end": 1.5, "text": "One <two>",
    }  # fmt: skip


def test_windows_become_one_text() -> None:
    assert joined(["Hello there.", "How are you?", " Fine."]) == "Hello there. How are you? Fine."
    assert joined(["\u4f60\u597d\u3002", "\u518d\u89c1"]) == "\u4f60\u597d\u3002\u518d\u89c1"
    assert joined([]) == ""


def test_what_was_sampled_wildly_is_not_put_before_the_next_window() -> None:
    settings = SpeechSettings(16000, (1,), (2,), 8, previous_id=3)
    heard: Any = SimpleNamespace(settings=settings)
    work = LongForm(heard, heard, Decoding(Search()), [1], [9])
    work._remember([Span(0, 1, (5, 6))], 0.0)
    assert work._prompt() == [3, 9, 5, 6, 1]
    work._remember([Span(0, 1, (7,))], 0.8)
    assert work._prompt() == [1]
    work._remember([Span(0, 1, tuple(range(20)))], 0.2)
    assert work._prompt() == [3, 17, 18, 19, 1]


def test_a_listening_that_is_closed_lets_others_in() -> None:
    ended = []

    def segments() -> Any:
        try:
            yield Segment(0, 1, "a")
            yield Segment(1, 2, "b")
        finally:
            ended.append(True)

    with Listening(segments(), Transcript()) as stream:
        assert next(iter(stream)).text == "a"
    assert ended
    assert stream.result.finish == "cancelled"


def test_segments_of_a_window() -> None:
    begin = 100
    # Two closed segments, and words that the window cuts off: they are heard again.
    found, ahead = spans([100, 1, 110, 110, 2, 120, 120, 3], begin, 150)
    assert [(s.start, s.end) for s in found] == [(0, 10), (10, 20)]
    assert ahead == 20
    # The last timestamp stands alone: nothing is said after it.
    assert spans([100, 1, 110, 110, 2, 120], begin, 150)[1] == 150
    found, ahead = spans([100, 1, 2], begin, 150)
    assert [(s.start, s.end, s.tokens) for s in found] == [(0, 150, (100, 1, 2))]
    assert ahead == 150


def test_languages_by_code_and_name() -> None:
    known = {"en": 1, "de": 2}
    assert language_code("de", known) == language_code(" German ", known) == "de"
    with pytest.raises(ArgumentError, match=r"does not know the language 'germn'") as found:
        language_code("germn", known)
    assert "did you mean 'german'" in str(found.value)


def test_settings_that_are_missing_or_wrong() -> None:
    def read(**changes: Any) -> SpeechSettings:
        stated = {"sample_rate": 16000, "start_ids": [1], "eos_ids": [2], "target_length": 8}
        task = {"name": "transcribe", "settings": {**stated, **changes}}
        return SpeechSettings.of({"task": task}, "b")

    assert read(languages={"en": 5}).languages == {"en": 5}
    assert read(chunk_seconds=30).window_seconds == 30
    with pytest.raises(BundleRuntimeError, match="have start_ids=None"):
        read(start_ids=None)
    with pytest.raises(BundleRuntimeError, match="have sample_rate=0"):
        read(sample_rate=0)
    settings = {"sample_rate": 1, "start_ids": [1], "eos_ids": [2]}
    with pytest.raises(BundleRuntimeError, match="lack 'target_length'"):
        SpeechSettings.of({"task": {"name": "transcribe", "settings": settings}}, "b")
    with pytest.raises(BundleRuntimeError, match="for the task 'generate', not 'transcribe'"):
        SpeechSettings.of({}, "b")


def test_subtitles_are_of_one_file() -> None:
    parser = argparse.ArgumentParser()
    transcribe.add_arguments(parser)
    with pytest.raises(ArgumentError, match="--format srt is for one file, not for 2"):
        transcribe.run(parser.parse_args(["bundle", "a.wav", "b.wav", "--format", "srt"]))


def test_a_file_that_is_no_audio_is_told_in_the_users_terms() -> None:
    pytest.importorskip("soundfile")
    with pytest.raises(ArgumentError) as refused:
        read_audio(b"root:x:0:0", 16000)
    assert "the audio cannot be decoded" in refused.value.what
    assert "object at" not in refused.value.what
