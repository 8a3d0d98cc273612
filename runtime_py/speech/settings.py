"""The settings of a bundle that transcribes speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime_py.seq2seq.settings import SettingsReader


@dataclass(frozen=True)
class SpeechSettings:
    """``task.settings`` of the manifest. Optional ones have a default.

    Attributes:
        sample_rate: samples a second that the program takes.
        start_ids: the decoder's first tokens (Whisper: startoftranscript).
        eos_ids: ids that end an answer.
        target_length: slots of the decoder's cache.
        chunk_seconds: length of the audio that the program takes, shorter audio being padded with
            silence; None: any length from ``min_seconds`` to ``max_seconds``.
        min_seconds, max_seconds: of a program that takes any length.
        samples_multiple, samples_less: such a program takes ``samples_multiple * n - samples_less``
            samples; audio is padded with silence to that.
        languages: code -> id, in the order of their ids; empty where the model has one language.
        tasks: transcribe, translate -> id; empty where the model only transcribes.
        no_timestamps_id: asks for text without timestamps.
        timestamp_begin: id of the timestamp 0.00 s; None: the model has none.
        no_speech_id: its probability after ``start_ids`` says that nobody speaks.
        previous_id: begins the text before the audio (startofprev).
        suppress_ids: never generated.
        begin_suppress_ids: not generated first.
        time_precision: seconds from one timestamp to the next.
        max_initial_timestamp: the first timestamp may be this many steps after 0.00 s.
        tokens_per_second: most tokens for a second of audio; None: as many as fit. Longer answers
            of models without timestamps are hallucinations.
    """

    sample_rate: int
    start_ids: tuple[int, ...]
    eos_ids: tuple[int, ...]
    target_length: int
    chunk_seconds: float | None = None
    min_seconds: float = 0.1
    max_seconds: float = 30.0
    samples_multiple: int = 1
    samples_less: int = 0
    languages: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    no_timestamps_id: int | None = None
    timestamp_begin: int | None = None
    no_speech_id: int | None = None
    previous_id: int | None = None
    suppress_ids: tuple[int, ...] = ()
    begin_suppress_ids: tuple[int, ...] = ()
    time_precision: float = 0.02
    max_initial_timestamp: int = 50
    tokens_per_second: float | None = None

    @classmethod
    def of(cls, manifest: Mapping[str, Any], where: str) -> SpeechSettings:
        """Those of a manifest.

        Raises:
            BundleRuntimeError: it is of another task, or one is missing or has another type.
        """
        read = SettingsReader(manifest, "transcribe", where)
        return cls(
            sample_rate=read.count("sample_rate"),
            start_ids=read.ids("start_ids"),
            eos_ids=read.ids("eos_ids"),
            target_length=read.count("target_length"),
            chunk_seconds=read.seconds("chunk_seconds"),
            min_seconds=read.number("min_seconds", cls.min_seconds),
            max_seconds=read.number("max_seconds", cls.max_seconds),
            samples_multiple=read.count("samples_multiple", cls.samples_multiple),
            samples_less=read.id("samples_less") or 0,
            languages=read.named_ids("languages"),
            tasks=read.named_ids("tasks"),
            no_timestamps_id=read.id("no_timestamps_id"),
            timestamp_begin=read.id("timestamp_begin"),
            no_speech_id=read.id("no_speech_id"),
            previous_id=read.id("previous_id"),
            suppress_ids=read.ids("suppress_ids", ()),
            begin_suppress_ids=read.ids("begin_suppress_ids", ()),
            time_precision=read.number("time_precision", cls.time_precision),
            max_initial_timestamp=read.count("max_initial_timestamp", cls.max_initial_timestamp),
            tokens_per_second=read.seconds("tokens_per_second"),
        )

    @property
    def window_seconds(self) -> float:
        """The longest audio of one call."""
        return self.chunk_seconds or self.max_seconds

    def fitting(self, samples: int) -> int:
        """The fewest samples from ``samples`` on that a program of any length takes."""
        steps = -(-(samples + self.samples_less) // self.samples_multiple)
        return steps * self.samples_multiple - self.samples_less
