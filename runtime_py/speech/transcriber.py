"""Transcribe speech with a bundle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import torch

from runtime_py.bundle import Bundle
from runtime_py.bundle_tokenizer import tokenizer_of
from runtime_py.errors import ArgumentError, Cancelled, shown
from runtime_py.exclusive import Exclusive
from runtime_py.method_program import MethodProgram
from runtime_py.request import seeds
from runtime_py.sampling import Sampling
from runtime_py.seq2seq.opening import decoder_of, open_bundle
from runtime_py.seq2seq.search import Search
from runtime_py.speech.audio import read_audio
from runtime_py.speech.languages import language_code
from runtime_py.speech.long_form import Decoding, LongForm
from runtime_py.speech.settings import SpeechSettings
from runtime_py.speech.transcript import Segment, SpeechStats, Transcript, joined
from runtime_py.speech.windows import Listener
from runtime_py.task_bundle import TaskBundle
from runtime_py.tokenizer import TextTokenizer

TASK = "transcribe"


@dataclass
class Listening:
    """Segments of an audio as they are transcribed; iterate over it. ``result`` grows with them.
    Close it to end before the last one; ``with`` does so at the end of the block.
    """

    segments: Generator[Segment, None, None]
    result: Transcript
    stopped: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[Segment]:
        return self.segments

    def cancel(self) -> None:
        """End after the token that is being computed; ``result.finish`` is then cancelled."""
        self.stopped.set()

    def close(self) -> None:
        """End now, in the thread that reads it, and let others use the transcriber."""
        self.segments.close()
        self.result.finish = self.result.finish or "cancelled"

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Transcriber(TaskBundle):
    """A loaded bundle of the task transcribe.

    Threads may share it: one audio is transcribed at a time, and the others wait. ``with`` closes
    it at the end of the block.

    Attributes:
        settings: what the manifest says of the task.
    """

    takes_turns: ClassVar[bool] = False
    _program: MethodProgram
    _lock: Exclusive

    def __init__(self, bundle: Bundle, program: MethodProgram, tokenizer: TextTokenizer) -> None:
        self.bundle, self.tokenizer = bundle, tokenizer
        self.settings = SpeechSettings.of(bundle.manifest, str(bundle.path))
        self._program = program
        self._model = decoder_of(bundle, program, self.settings.target_length)
        self._lock = Exclusive()

    @classmethod
    def load(
        cls, path: str | Path | Bundle, *, threads: int | None = None, verify_hashes: bool = True
    ) -> Transcriber:
        """Load a bundle: a folder, a file of ``llm-export pack``, a repository of the hub, or one
        that is open.

        Args:
            threads: size of ExecuTorch's thread pool; None keeps its choice.
            verify_hashes: refuse a program or tokenizer whose SHA-256 is not the manifest's. A
                damaged program can end the process.

        Raises:
            BundleRuntimeError: it is damaged, of another task, or cannot run on this machine.
        """
        bundle, program = open_bundle(path, TASK, threads, verify_hashes)
        try:
            return cls(bundle, program, tokenizer_of(bundle))
        except BaseException:
            program.close()
            raise

    def transcribe(
        self,
        audio: Any,
        *,
        on_segment: Callable[[Segment], None] | None = None,
        **arguments: Any,
    ) -> Transcript:
        """Write down what is said in an audio.

        Args:
            audio: a path, the bytes of a file, or samples (see ``audio.read_audio``).
            on_segment: called with each segment as it is transcribed.
            arguments: those of ``stream``.

        Raises:
            ArgumentError: the audio cannot be read, or an argument is wrong.
            BundleRuntimeError: the program fails.
        """
        with self.stream(audio, **arguments) as stream:
            for segment in stream:
                if on_segment is not None:
                    on_segment(segment)
        return stream.result

    def stream(
        self,
        audio: Any,
        *,
        sample_rate: int | None = None,
        language: str | None = None,
        task: str = "transcribe",
        timestamps: bool | str = False,
        beams: int = 1,
        prompt: str | None = None,
        seed: int | None = None,
        on_progress: Callable[[float, float], None] | None = None,
        max_new_tokens: int | None = None,
        most_samples: int | None = None,
        **decoding: Any,
    ) -> Listening:
        """The segments of an audio as they are transcribed.

        Args:
            sample_rate: of an array of samples; None: the model's.
            language: code or English name; None: detected, where the model knows several.
            task: transcribe, or translate into English, where the model can.
            timestamps: True or "segments": each segment's time; False: only the text. Audio longer
                than a window is cut at timestamps in any case, where the model has them.
            beams: sequences that are followed at once; 1 is greedy.
            prompt: a text before the audio: names and spellings that it has.
            seed: makes attempts at higher temperatures reproducible.
            on_progress: called with (seconds done, seconds of the audio).
            max_new_tokens: of one window; None: half the decoder's positions.
            most_samples: refuse an audio that decodes to more; None: none is.
            decoding: fields of ``long_form.Decoding``: temperatures, max_compression, min_logprob,
                no_speech, condition.
        """
        settings = self.settings
        stamped = self._stamped(timestamps)
        code = self._checked_language(language)
        kind = self._checked_task(task)
        samples = read_audio(
            audio, settings.sample_rate, sample_rate=sample_rate, most=most_samples
        )
        if not len(samples):
            raise ArgumentError("the audio is empty", where=_named(audio))
        long = len(samples) > settings.window_seconds * settings.sample_rate
        stamped = stamped or (long and settings.timestamp_begin is not None)
        how = _decoding(decoding, Search(Sampling(), seed, beams), stamped, max_new_tokens)
        seeds(seed, len(how.temperatures))
        before = () if prompt is None else self._prompt_ids(prompt)
        result = Transcript(language=code)
        result.stats.audio_seconds = len(samples) / settings.sample_rate
        stopped = threading.Event()

        # Segments between timestamps have their spaces; windows of other models have none.
        text_of = joined if settings.timestamp_begin is None else lambda t: "".join(t).strip()

        def run() -> Generator[Segment, None, None]:
            with self._lock:
                begin = time.perf_counter()
                self._model.stopped = stopped
                names = self._program.methods
                listener = Listener(
                    self._program.call, names, self._model, settings, samples, result.stats
                )
                try:
                    if code is None and settings.languages:
                        self._detect(listener, result)
                    initial = self._initial(result.language, kind, stamped)
                    work = LongForm(listener, self.tokenizer, how, initial, before)
                    for segment, done in work.segments():
                        result.stats.seconds = time.perf_counter() - begin
                        if segment.text.strip():
                            result.segments.append(segment)
                            result.text = text_of(s.text for s in result.segments)
                            yield segment
                        if on_progress is not None:
                            on_progress(done / settings.sample_rate, result.stats.audio_seconds)
                    result.finish = "end"
                except Cancelled:
                    result.finish = "cancelled"
                result.stats.seconds = time.perf_counter() - begin

        return Listening(run(), result, stopped)

    def detect_language(self, audio: Any, *, sample_rate: int | None = None) -> dict[str, float]:
        """Code -> probability, the most probable first, by the first window of an audio.

        Raises:
            ArgumentError: the model has one language, or the audio cannot be read.
        """
        if not self.settings.languages:
            raise ArgumentError("the model has one language: there is none to detect")
        samples = read_audio(audio, self.settings.sample_rate, sample_rate=sample_rate)
        if not len(samples):
            raise ArgumentError("the audio is empty", where=_named(audio))
        result = Transcript()
        with self._lock:
            self._model.stopped = None
            listener = Listener(
                self._program.call, self._program.methods, self._model, self.settings, samples,
                result.stats,
            )  # fmt: skip
            return self._detect(listener, result)

    def measure(self, samples: torch.Tensor, count: int) -> tuple[float, float]:
        """(seconds to encode a window of samples, seconds to decode ``count`` tokens after it),
        whatever the tokens are."""
        with self._lock:
            self._model.stopped = None
            stats = SpeechStats()
            listener = Listener(
                self._program.call,
                self._program.methods,
                self._model,
                self.settings,
                samples,
                stats,
            )
            listener.encode(0, len(samples))
            made, begin = list(self.settings.start_ids), time.perf_counter()
            for _ in range(count):
                made.append(int(self._model.logits(made).argmax()))
            return stats.encode_seconds, time.perf_counter() - begin

    def _detect(self, listener: Listener, result: Transcript) -> dict[str, float]:
        listener.encode(0, min(listener.window, listener.total))
        logits = self._model.logits(self.settings.start_ids)
        names = list(self.settings.languages)
        ids = torch.tensor(list(self.settings.languages.values()))
        each = torch.softmax(logits[ids], dim=-1).tolist()
        found = dict(sorted(zip(names, each, strict=True), key=lambda pair: -pair[1]))
        result.language, result.language_probability = next(iter(found.items()))
        return found

    def _initial(self, language: str | None, task: str | None, stamped: bool) -> list[int]:
        s = self.settings
        ids = list(s.start_ids)
        if language is not None and s.languages:
            ids.append(s.languages[language])
        if task is not None:
            ids.append(s.tasks[task])
        if not stamped and s.no_timestamps_id is not None:
            ids.append(s.no_timestamps_id)
        return ids

    def _stamped(self, timestamps: bool | str) -> bool:
        if timestamps not in (True, False, "segments"):
            raise ArgumentError(
                f"timestamps must be true, false or segments, not {shown(timestamps)}"
            )
        if timestamps and self.settings.timestamp_begin is None:
            raise ArgumentError(
                "the model has no timestamps", fix="timestamps=False, or a model of Whisper"
            )
        return bool(timestamps)

    def _checked_language(self, language: str | None) -> str | None:
        if language is None or not self.settings.languages:
            if language is not None:
                raise ArgumentError(
                    f"the model has one language, and cannot be asked for {shown(language)}",
                    fix="leave language out",
                )
            return None
        return language_code(language, self.settings.languages)

    def _checked_task(self, task: str) -> str | None:
        known = self.settings.tasks
        if not isinstance(task, str) or task not in (known or ("transcribe",)):
            raise ArgumentError(
                f"the model cannot {shown(task)}",
                fix=f"choices: {', '.join(known or ('transcribe',))}",
            )
        return task if known else None

    def _prompt_ids(self, prompt: str) -> list[int]:
        if not isinstance(prompt, str):
            raise ArgumentError(f"prompt must be a text, not {type(prompt).__name__}")
        if self.settings.previous_id is None:
            raise ArgumentError("the model takes no text before an audio", fix="leave prompt out")
        return self.tokenizer.encode(" " + prompt.strip(), raw=False)

    def _able(self) -> str:
        languages = len(self.settings.languages) or 1
        return f"{languages} language{'s' * (languages > 1)}"


def _named(audio: Any) -> str | None:
    return str(audio) if isinstance(audio, str | PathLike) else None


def _decoding(stated: dict[str, Any], search: Search, stamped: bool, most: int | None) -> Decoding:
    """Raises ArgumentError for an unknown or wrong setting."""
    known = [f.name for f in fields(Decoding) if f.name not in ("search", "timestamps", "most")]
    for name in stated:
        if name not in known:
            raise ArgumentError(f"there is no setting '{name}'", fix=f"choices: {', '.join(known)}")
    made = replace(Decoding(search, timestamps=stamped, most=most), **stated)
    _check(made)
    return replace(made, temperatures=tuple(float(t) for t in made.temperatures))


def _check(made: Decoding) -> None:
    given = made.temperatures
    if (
        not isinstance(given, Sequence)
        or not given
        or not all(type(t) in (int, float) and 0 <= t <= 10 for t in given)
    ):
        raise ArgumentError(
            f"temperatures must be numbers from 0 to 10, not {shown(given)}",
            fix="(0.0,) never samples",
        )
    for name in ("max_compression", "min_logprob", "no_speech"):
        value = getattr(made, name)
        if value is not None and type(value) not in (int, float):
            raise ArgumentError(f"{name} must be a number or None, not {shown(value)}")
    if made.most is not None and (type(made.most) is not int or made.most < 1):
        raise ArgumentError(f"max_new_tokens must be a whole number from 1, not {shown(made.most)}")
