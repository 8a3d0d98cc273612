"""What was said, and when; as text, SubRip, WebVTT and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from unicodedata import east_asian_width


@dataclass(frozen=True)
class Segment:
    """
    Attributes:
        start, end: in seconds.
        tokens: ids, timestamps included.
        logprob: mean log-probability of a token of the window that it is of.
        no_speech: probability that nobody speaks in that window; None: not asked.
        temperature: at which it was sampled; 0: the most likely tokens.
    """

    start: float
    end: float
    text: str
    tokens: tuple[int, ...] = ()
    logprob: float = 0.0
    no_speech: float | None = None
    temperature: float = 0.0


@dataclass
class SpeechStats:
    """Times are in seconds.

    Attributes:
        audio_seconds: length of the audio.
        windows: calls of the encoder; ``decodes`` may be more, where an answer was rejected.
        generated_tokens: of all answers, the rejected ones too.
    """

    audio_seconds: float = 0.0
    seconds: float = 0.0
    encode_seconds: float = 0.0
    windows: int = 0
    decodes: int = 0
    generated_tokens: int = 0

    @property
    def times_real_time(self) -> float:
        """Seconds of audio a second."""
        return self.audio_seconds / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "times_real_time": self.times_real_time}


@dataclass
class Transcript:
    """
    Attributes:
        language: code; None: the model has one language.
        language_probability: of a detected one; None: it was given.
        finish: end, or cancelled.
    """

    text: str = ""
    language: str | None = None
    segments: list[Segment] = field(default_factory=list)
    language_probability: float | None = None
    finish: str = ""
    stats: SpeechStats = field(default_factory=SpeechStats)

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "language": self.language,
            "duration": self.stats.audio_seconds,
            "segments": [
                {"start": round(s.start, 3), "end": round(s.end, 3), "text": s.text.strip()}
                for s in self.segments
            ],
        }

    def format(self, name: str) -> str:
        """The transcript as text, srt, vtt or json, without a newline at its end."""
        return FORMATS[name](self)


def joined(texts: Iterable[str]) -> str:
    """Texts of windows, one behind the other; a space between words that would touch."""
    made = ""
    for text in texts:
        touch = made and text and not (made[-1].isspace() or text[0].isspace())
        wide = touch and {east_asian_width(made[-1]), east_asian_width(text[0])} & {"W", "F"}
        made += f" {text}" if touch and not wide else text
    return made.strip()


def _text(transcript: Transcript) -> str:
    return transcript.text


def _json(transcript: Transcript) -> str:
    return json.dumps(transcript.as_dict(), ensure_ascii=False, indent=2)


def _srt(transcript: Transcript) -> str:
    """SubRip."""
    blocks = [
        f"{number}\n{clock(s.start, ',')} --> {clock(s.end, ',')}\n{_line(s)}"
        for number, s in enumerate(transcript.segments, 1)
    ]
    return "\n\n".join(blocks)


def _vtt(transcript: Transcript) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1)."""
    return "\n\n".join(["WEBVTT", *_cues(transcript.segments)])


def _cues(segments: Iterable[Segment]) -> list[str]:
    return [
        f"{clock(s.start)} --> {clock(s.end)}\n"
        + _line(s).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for s in segments
    ]


def _line(segment: Segment) -> str:
    # An arrow or an empty line would end the cue.
    return " ".join(segment.text.split()).replace("-->", "->")


def clock(seconds: float, point: str = ".") -> str:
    """HH:MM:SS.mmm."""
    whole = round(max(0.0, seconds) * 1000)
    hours, minutes = whole // 3_600_000, whole // 60_000 % 60
    return f"{hours:02d}:{minutes:02d}:{whole // 1000 % 60:02d}{point}{whole % 1000:03d}"


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "text": _text, "srt": _srt, "vtt": _vtt, "json": _json,
}  # fmt: skip
