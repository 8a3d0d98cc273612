"""Whether the options of the task transcribe fit a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm_export.errors import RecipeError
from llm_export.models.speech.config import MoonshineConfig, WhisperConfig
from llm_export.models.speech.options import TranscribeOptions
from llm_export.models.speech.whisper_ids import with_known_ids

if TYPE_CHECKING:
    from llm_export.models.speech.library import LibrarySpeech

_WHERE = "model.task_options"
_NAMES = (
    "start_ids", "eos_ids", "languages", "tasks", "no_timestamps_id", "timestamp_begin",
    "no_speech_id", "previous_id", "suppress_ids", "begin_suppress_ids",
)  # fmt: skip
"""Options that are ids."""
SHORTEST = 0.112
"""Seconds of the shortest audio that a program of any length takes: 1792 samples."""


def check_whisper(
    config: WhisperConfig, options: TranscribeOptions, context_length: int | None
) -> None:
    """Raises RecipeError if an option does not fit the model."""
    _check_one_length(options)
    told = with_known_ids(options, config.vocab_size)
    _check_told(told, config.vocab_size, context_length)
    sizes = (config.decoder.layers, config.decoder.heads)
    for pair in told.alignment_heads:
        if len(pair) != 2 or not all(0 <= at < size for at, size in zip(pair, sizes, strict=True)):
            raise _wrong(
                "alignment_heads",
                f"{list(pair)}, and the decoder has {sizes[0]} layers of {sizes[1]} heads",
                "pairs [layer, head] from 0",
            )  # fmt: skip


def _check_one_length(options: TranscribeOptions) -> None:
    if options.max_seconds != TranscribeOptions.max_seconds:
        raise _wrong(
            "max_seconds", f"{options.max_seconds}, and this model takes windows of one length",
            f"remove {_WHERE}.max_seconds",
        )  # fmt: skip


def _check_longest(options: TranscribeOptions, least: float) -> None:
    if options.max_seconds < least:
        raise _wrong("max_seconds", f"{options.max_seconds}", f"at least {least:g}")


def _check_told(told: TranscribeOptions, vocab_size: int, context_length: int | None) -> None:
    if not told.start_ids or not told.eos_ids:
        raise RecipeError(
            "neither the checkpoint nor the recipe says which tokens begin and end an answer",
            where=_WHERE,
            fix=f"copy the checkpoint's generation_config.json beside its weights, or state "
            f"{_WHERE}.start_ids=[ID] and {_WHERE}.eos_ids=[ID]",
        )
    _check_ids(told, vocab_size)
    given = len(told.start_ids) + bool(told.languages) + bool(told.tasks)
    _check_room(given + (told.no_timestamps_id is not None), context_length)


def check_library(
    model: LibrarySpeech, options: TranscribeOptions, context_length: int | None
) -> None:
    """Raises RecipeError if an option does not fit a model of the generic tier."""
    if model.front.chunk is not None:
        _check_one_length(options)
    else:
        _check_longest(options, model.lengths.least_seconds)
    _check_told(model.told(options), model.metadata.vocab_size, context_length)


def check_moonshine(
    config: MoonshineConfig, options: TranscribeOptions, context_length: int | None
) -> None:
    """Raises RecipeError if an option does not fit the model."""
    _check_longest(options, SHORTEST)
    _check_ids(options, config.vocab_size)
    _check_room(len(options.start_ids) or 1, context_length)


def _check_ids(options: TranscribeOptions, vocab_size: int) -> None:
    for name, number in _ids(options):
        if not 0 <= number < vocab_size:
            raise _wrong(name, f"{number}, and the vocabulary has {vocab_size} ids", "other ids")
    rate = options.tokens_per_second
    if rate is not None and not 0 < rate < float("inf"):
        raise _wrong("tokens_per_second", f"{rate}", "a positive number, or null")
    if options.max_initial_timestamp < 0:
        raise _wrong("max_initial_timestamp", f"{options.max_initial_timestamp}", "0 or more")


def _ids(options: TranscribeOptions) -> Iterator[tuple[str, int]]:
    for name in _NAMES:
        value = getattr(options, name)
        if isinstance(value, dict):
            value = tuple(value.values())
        elif not isinstance(value, tuple):
            value = () if value is None else (value,)
        yield from ((name, number) for number in value)


def _check_room(given: int, context_length: int | None) -> None:
    if context_length is not None and context_length <= given:
        raise RecipeError(
            f"the {given} tokens before an answer leave no room for it in {context_length}",
            where="runtime.context_length", fix=f"at least {given + 1}",
        )  # fmt: skip


def _wrong(name: str, what: str, fix: str) -> RecipeError:
    return RecipeError(f"{name} is {what}", where=f"{_WHERE}.{name}", fix=fix)
