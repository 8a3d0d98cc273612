"""chrF and BLEU of a bundle that translates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_export.bundle.measures import QUALITY, Measure
from llm_export.tasks.scoring import Example, Form, Progress, answered, missing, texts_of

_FORM = Form(("text", "reference"), ("prefix",))
FORMS = (_FORM,)


def score(bundle: Path, examples: Sequence[Example], progress: Progress) -> tuple[Measure, ...]:
    """Of greedy answers, by sacrebleu's defaults.

    Raises:
        InputError: a text is too long for the program, or no text.
        MissingDependencyError: sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError:
        raise missing("sacrebleu", "chrF") from None
    from runtime_py.seq2seq.translator import Translator

    texts_of(examples, "text")
    right = texts_of(examples, "reference")
    with Translator.load(bundle) as translator:
        said = answered(
            examples,
            lambda each: translator.translate(each["text"], **_FORM.optional(each)).text,
            progress,
        )
    return (
        Measure("chrf", "chrF2", sacrebleu.corpus_chrf(said, [right]).score, QUALITY,
                higher_is_better=True),
        Measure("bleu", "BLEU", sacrebleu.corpus_bleu(said, [right]).score, QUALITY,
                higher_is_better=True),
    )  # fmt: skip
