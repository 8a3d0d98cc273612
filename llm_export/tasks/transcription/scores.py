"""Word and character error rates of a bundle that transcribes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from llm_export.bundle.measures import QUALITY, Measure
from llm_export.errors import InputError
from llm_export.tasks.scoring import Example, Form, Progress, missing, require_text

FORMS = (Form(("audio", "text"), ("language", "prompt")),)


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
    from runtime_py.errors import ArgumentError
    from runtime_py.speech.transcriber import Transcriber

    right, said, real_time = [], [], [0.0, 0.0]
    for number, example in enumerate(examples, 1):
        require_text(example, "audio", number)
        right.append(plain(require_text(example, "text", number)))
        if not right[-1]:
            raise InputError(f"example {number}: the text has no words")
    with Transcriber.load(bundle) as transcriber:
        for number, example in enumerate(examples, 1):
            own = {name: example[name] for name in ("language", "prompt") if name in example}
            try:
                made = transcriber.transcribe(example["audio"], seed=0, **own)
            except ArgumentError as error:
                raise InputError(
                    f"example {number}: {error.what}", where=error.where, fix=error.fix
                ) from None
            said.append(plain(made.text))
            real_time[0] += made.stats.audio_seconds
            real_time[1] += made.stats.seconds
            progress(number, len(examples))
    return (
        Measure("wer", "word error rate", float(jiwer.wer(right, said)), QUALITY),
        Measure("cer", "character error rate", float(jiwer.cer(right, said)), QUALITY),
        Measure("audio", "audio", real_time[0], QUALITY, "s"),
        Measure("real_time", "speed", real_time[0] / real_time[1], QUALITY, "times real time",
                higher_is_better=True),
    )  # fmt: skip


def plain(text: str) -> str:
    """In small letters, without punctuation but the apostrophe within a word (NFKC)."""
    kept = "".join(
        each if unicodedata.category(each)[0] in "LMN" or each == "'" else " "
        for each in unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    )
    return " ".join(word for each in kept.split() if (word := each.strip("'")))
