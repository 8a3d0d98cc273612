"""Ids of the special tokens of Whisper's vocabularies, in the order of OpenAI's tokenizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_export.models.speech.options import TranscribeOptions

LANGUAGES = (
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it",
    "id", "hi", "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur",
    "hr", "bg", "lt", "la", "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn",
    "et", "mk", "br", "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si",
    "km", "sn", "yo", "so", "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo",
    "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln",
    "ha", "ba", "jw", "su", "yue",
)  # fmt: skip
"""Codes in the order of their ids. Cantonese came with large-v3."""

_TIMESTAMPS = 1501
"""0.00 to 30.00 s in steps of 0.02 s."""

_ENGLISH, _MULTILINGUAL, _LARGE_V3 = 51864, 51865, 51866
_END = {_ENGLISH: 50256, _MULTILINGUAL: 50257, _LARGE_V3: 50257}
"""Size of the vocabulary -> the id that ends an answer, before all other special ones."""


def known_ids(vocab_size: int) -> TranscribeOptions | None:
    """Those of a published vocabulary; None for others."""
    if vocab_size not in _END:
        return None
    end = _END[vocab_size]
    names = LANGUAGES if vocab_size == _LARGE_V3 else LANGUAGES[:-1]
    languages = {name: end + 2 + at for at, name in enumerate(names)}
    translate = end + 2 + len(names)
    several = vocab_size != _ENGLISH
    return TranscribeOptions(
        start_ids=(end + 1,),
        eos_ids=(end,),
        languages=languages if several else {},
        tasks={"translate": translate, "transcribe": translate + 1} if several else {},
        previous_id=translate + 3,
        no_speech_id=translate + 4,
        no_timestamps_id=translate + 5,
        timestamp_begin=vocab_size - _TIMESTAMPS,
        begin_suppress_ids=(220, end),
    )


_IDS = (
    "start_ids", "eos_ids", "languages", "tasks", "no_timestamps_id", "timestamp_begin",
    "no_speech_id", "previous_id", "begin_suppress_ids",
)  # fmt: skip


def with_known_ids(options: TranscribeOptions, vocab_size: int) -> TranscribeOptions:
    """``options``, with the ids that they leave open as in the published vocabulary of this size.
    They are taken as they are where they state the first token.
    """
    known = known_ids(vocab_size)
    if known is None or options.start_ids:
        return options
    left: dict[str, Any] = {n: getattr(known, n) for n in _IDS if not getattr(options, n)}
    return replace(options, **left)
