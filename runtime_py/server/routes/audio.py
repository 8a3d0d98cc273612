"""POST /v1/audio/transcriptions and /v1/audio/translations, for bundles that transcribe."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from runtime_py.errors import ArgumentError, MissingPackageError
from runtime_py.server.bodies import Body
from runtime_py.server.errors import refused, wrong
from runtime_py.server.forms import read_form
from runtime_py.server.handling import check_model, client_of, collected, noted, serving_of
from runtime_py.server.job import Work

if TYPE_CHECKING:
    from runtime_py.speech.transcript import Segment, Transcript

_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_TIMED = ("srt", "verbose_json", "vtt")
_NAMES = ("language", "prompt", "temperature", "seed")
"""Parameters that errors of the transcriber speak of."""
_NO_SPEAKERS = "the server has no speaker diarization"
_SAMPLES = 1 << 29
"""Of an audio: 9 hours at 16 kHz, 2 GiB in float32. A compressed file may hold far more."""


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class AudioBody(Body):
    """Fields of a form, which are texts. ``seed`` is that of ``Transcriber.stream``, which OpenAI's
    API lacks."""

    model_config = ConfigDict(strict=False)
    unsupported: ClassVar[dict[str, str]] = {
        "include": "log probabilities are not returned",
        "known_speaker_names": _NO_SPEAKERS,
        "known_speaker_references": _NO_SPEAKERS,
    }

    language: str | None = None
    prompt: str | None = None
    response_format: str = "json"
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    timestamp_granularities: Annotated[list[str], BeforeValidator(_several)] | None = None
    chunking_strategy: str | None = None
    stream: bool = False
    seed: int | None = None


@noted
async def transcriptions(request: Request) -> Response:
    return await _answered(request, "transcribe")


@noted
async def translations(request: Request) -> Response:
    return await _answered(request, "translate")


async def _answered(request: Request, task: str) -> Response:
    serving = serving_of(request)
    serving.ready()
    transcriber = serving.transcriber
    serving.check_room()
    body, data = await read_form(request, AudioBody)
    check_model(serving, body.model)
    _check(body, can_time=transcriber.settings.timestamp_begin is not None)
    job = Transcription(data, body, task, serving.settings.timeout)
    serving.enqueue(job, client_of(request))
    request.state.noted["job"] = job
    await collected(request, job)
    assert job.made is not None
    serving.metrics.transcribed(job.made.stats.audio_seconds, job.made.stats.generated_tokens)
    return _written(job.made, body.response_format, task)


def _check(body: AudioBody, *, can_time: bool) -> None:
    if body.response_format not in _FORMATS:
        raise wrong(
            f"response_format must be one of {', '.join(_FORMATS)}", "response_format",
            "invalid_value",
        )  # fmt: skip
    if body.stream:
        raise wrong("stream is not supported: the answer comes whole", "stream",
                    "unsupported_parameter")  # fmt: skip
    if body.chunking_strategy not in (None, "auto"):
        raise wrong("chunking_strategy must be auto", "chunking_strategy", "invalid_value")
    if any(each != "segment" for each in body.timestamp_granularities or ()):
        raise wrong(
            "timestamp_granularities may have segment only: word timestamps are not supported",
            "timestamp_granularities", "unsupported_value",
        )  # fmt: skip
    if not can_time and body.response_format in _TIMED:
        raise wrong(
            f"the model has no timestamps, which response_format {body.response_format} needs: use "
            "json or text", "response_format", "unsupported_value",
        )  # fmt: skip


class Transcription(Work):
    """Transcribes an audio from its beginning to its end.

    Attributes:
        made: the transcript.
    """

    def __init__(self, data: bytes, body: AudioBody, task: str, seconds: float) -> None:
        super().__init__(seconds)
        self._data, self._body, self._task = data, body, task
        self.made: Transcript | None = None

    def steps(self, model: Any) -> Iterator[None]:
        body = self._body
        given: dict[str, Any] = {
            name: value for name in ("language", "prompt", "seed")
            if (value := getattr(body, name)) not in (None, "")
        }  # fmt: skip
        if body.temperature:
            # At 0 the model goes on to higher ones by itself, as OpenAI's does.
            given["temperatures"] = (body.temperature,)
        data, self._data = self._data, b""
        try:
            listening = model.stream(
                data,
                task=self._task,
                timestamps=body.response_format in _TIMED,
                most_samples=_SAMPLES,
                **given,
            )
        except (ArgumentError, MissingPackageError) as error:
            raise refused(error, _named(error)) from None
        with listening:
            self.on_cancel(listening.cancel)
            for _ in listening:
                yield
        self.made = listening.result


def _named(error: ArgumentError | MissingPackageError) -> str | None:
    """The parameter that is wrong: the file, unless an error speaks of another or of the model."""
    whole = f"{error.what} {error.fix}"
    other = None if error.what.startswith("the model") else "file"
    return next((name for name in _NAMES if name in whole), other)


def _written(made: Transcript, form: str, task: str) -> Response:
    if form in ("text", "srt", "vtt"):
        kind = "text/vtt" if form == "vtt" else "text/plain"
        return PlainTextResponse(made.format(form) + "\n", media_type=kind)
    usage = {"type": "duration", "seconds": round(made.stats.audio_seconds, 3)}
    if form == "json":
        return JSONResponse({"text": made.text, "usage": usage})
    from runtime_py.speech.languages import NAMES

    language = made.language or ""
    return JSONResponse({
        "task": task,
        "language": NAMES.get(language, language),
        "duration": made.stats.audio_seconds,
        "text": made.text,
        "segments": [_segment(number, each) for number, each in enumerate(made.segments)],
        "usage": usage,
    })  # fmt: skip


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    data = segment.text.encode("utf-8", "replace")
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.logprob,
        "compression_ratio": len(data) / len(zlib.compress(data)),
        "no_speech_prob": segment.no_speech,
    }


ROUTES = [
    Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
    Route("/v1/audio/translations", translations, methods=["POST"]),
]
