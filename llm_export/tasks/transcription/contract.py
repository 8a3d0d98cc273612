"""Verify, measure and try programs that transcribe speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.bundle.measures import SPEED, Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.pipeline.summary import Answer
from llm_export.tasks.contract import Comparison, Subject
from llm_export.tasks.decoded import Case, compare_decoded
from llm_export.tasks.scoring import Form, Scorer
from llm_export.tasks.timing import at_each_count, encode_and_decode
from llm_export.tasks.transcription.sounds import sounds

if TYPE_CHECKING:
    from llm_export.models.programs.task_model import TaskModel
    from llm_export.pipeline.artifacts import Source
    from llm_export.resolve.recipe import ResolvedRecipe
    from runtime_py.speech.transcriber import Transcriber

_ANSWER = 40
"""Tokens of an answer that are compared."""
_MOST = 12
"""Sounds to compare with, three of each kind; the encoder of each takes seconds."""


class TranscribeContract:
    speed_settings = ("decode_length",)

    def write_files(self, folder: Path, source: Source, model: TaskModel, options: Any) -> None:
        """There is nothing but the tokenizer: the program has the front end."""

    def compare(self, subject: Subject, progress: Callable[[int, int], None]) -> Comparison:
        """Compare front end, encoder and decoder over synthetic sounds."""
        settings = subject.exported.settings(subject.options)
        positions = subject.resolved.recipe.verify.positions
        count = min(_MOST, max(1, positions // _ANSWER))
        rate, prompt = settings["sample_rate"], tuple(_prompt(settings))
        seconds = settings.get("chunk_seconds") or settings["max_seconds"]
        fixed = bool(settings.get("chunk_seconds")) or not subject.resolved.methods.dynamic
        multiple, less = settings.get("samples_multiple", 1), settings.get("samples_less", 0)
        cases = []
        for number, sound in enumerate(sounds(count, round(seconds * rate), rate)):
            # Of programs that take any length, half of the sounds are shorter.
            most = len(sound)
            kept = most if fixed or number % 2 else min(most, max(rate, most // 2))
            kept = (kept + less) // multiple * multiple - less
            cases.append(Case((sound[None, :kept],), prompt))
        steps = min(_ANSWER, settings["target_length"] - len(prompt))
        return compare_decoded(subject, cases, steps, progress, f"answers to {count} sounds")

    def speed(self, bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
        """Seconds to encode a window, tokens a second, and seconds of audio a second."""
        from runtime_py.speech.transcriber import Transcriber

        return at_each_count(Transcriber.load, bundle, settings, lambda t: _speed(t, settings))

    def scores(self) -> tuple[tuple[Form, ...], Scorer]:
        """Error rates of words and characters."""
        from llm_export.tasks.transcription.scores import FORMS, score

        return FORMS, score

    def samples(self, bundle: Path, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
        """What the program makes of two sounds in which nobody speaks."""
        from runtime_py.errors import BundleRuntimeError
        from runtime_py.speech.transcriber import Transcriber

        found = []
        with Transcriber.load(bundle, verify_hashes=False) as transcriber:
            s = transcriber.settings
            seconds = min(5.0, s.window_seconds)
            made_up = sounds(2, int(seconds * s.sample_rate), s.sample_rate)
            for name, sound in zip(("a chirp", "a voiced sound"), made_up, strict=True):
                question = f"{seconds:g} s of {name}, without speech"
                try:
                    made = transcriber.transcribe(sound, temperatures=(0.0,), max_new_tokens=32)
                    found.append(Answer(question, made.text, tokens=made.stats.generated_tokens))
                except BundleRuntimeError as error:
                    found.append(Answer(question, "", problem=error.what))
        return tuple(found)


def _speed(transcriber: Transcriber, settings: BenchmarkConfig) -> tuple[Measure, ...]:
    s = transcriber.settings
    seconds = s.window_seconds
    sound = sounds(2, int(seconds * s.sample_rate), s.sample_rate)[1]
    encode, decode = encode_and_decode(
        lambda count: transcriber.measure(sound, count), f"{seconds:g} s of audio",
        s.target_length - len(_prompt_of(transcriber)), settings,
    )  # fmt: skip
    # Speech has about four tokens a second.
    whole = seconds / (encode.value / 1000 + 4 * seconds / decode.value)
    real_time = Measure("real_time", "audio with 4 tokens a second", whole, SPEED,
                        "times real time", higher_is_better=True)  # fmt: skip
    return encode, decode, real_time


def _prompt(settings: dict[str, Any]) -> list[int]:
    """The decoder's first tokens: of English, without timestamps."""
    ids = list(settings["start_ids"])
    languages, tasks = settings.get("languages") or {}, settings.get("tasks") or {}
    if languages:
        ids.append(languages.get("en", next(iter(languages.values()))))
    if "transcribe" in tasks:
        ids.append(tasks["transcribe"])
    plain = settings.get("no_timestamps_id")
    return ids if plain is None else [*ids, plain]


def _prompt_of(transcriber: Transcriber) -> list[int]:
    return _prompt(dict(transcriber.bundle.manifest["task"]["settings"]))


CONTRACT = TranscribeContract()
