"""Word and character error rates of a bundle that transcribes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from llm_export.bundle.measures import QUALITY, Measure
from llm_export.errors import InputError
from llm_export.tasks.scoring import Example, Form, Progress, answered, missing, texts_of

_FORM = Form(("audio", "text"), ("language", "prompt"))
FORMS = (_FORM,)


def score(bundle: Path, examples: Sequence[Example], progress: Progress) -> tuple[Measure, ...]:
    """Edits over all examples by the number of words, or characters, of all references (jiwer).
    Case, punctuation and repeated spaces do not count.

    Raises:
        InputError: a reference has no word, or an audio cannot be read.
        MissingDependencyError: jiwer is not installed.
    """
    try:
        import jiwer
    except ImportError:
        raise missing("jiwer", "the word error rate") from None
    from runtime_py.speech.transcriber import Transcriber

    texts_of(examples, "audio")
    right = [plain(text) for text in texts_of(examples, "text")]
    if "" in right:
        raise InputError(f"example {right.index('') + 1}: the text has no words")
    with Transcriber.load(bundle) as transcriber:
        made = answered(
            examples,
            lambda each: transcriber.transcribe(each["audio"], seed=0, **_FORM.optional(each)),
            progress,
        )
    said = [plain(each.text) for each in made]
    audio = sum(each.stats.audio_seconds for each in made)
    seconds = sum(each.stats.seconds for each in made)
    return (
        Measure("wer", "word error rate", float(jiwer.wer(right, said)), QUALITY),
        Measure("cer", "character error rate", float(jiwer.cer(right, said)), QUALITY),
        Measure("audio", "audio", audio, QUALITY, "s"),
        Measure("real_time", "speed", audio / seconds, QUALITY, "times real time",
                higher_is_better=True),
    )  # fmt: skip


def plain(text: str) -> str:
    """In small letters, without punctuation but the apostrophe within a word (NFKC)."""
    kept = "".join(
        each if unicodedata.category(each)[0] in "LMN" or each == "'" else " "
        for each in unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    )
    return " ".join(word for each in kept.split() if (word := each.strip("'")))
