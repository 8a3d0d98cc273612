"""chrF and BLEU of a bundle that translates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_export.bundle.measures import QUALITY, Measure
from llm_export.errors import InputError
from llm_export.tasks.scoring import Example, Form, Progress, missing, require_text

FORMS = (Form(("text", "reference"), ("prefix",)),)


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
    from runtime_py.errors import ArgumentError
    from runtime_py.seq2seq.translator import Translator

    right = [require_text(each, "reference", at) for at, each in enumerate(examples, 1)]
    texts = [require_text(each, "text", at) for at, each in enumerate(examples, 1)]
    said = []
    with Translator.load(bundle) as translator:
        for number, (text, example) in enumerate(zip(texts, examples, strict=True), 1):
            own = {"prefix": example["prefix"]} if "prefix" in example else {}
            try:
                said.append(translator.translate(text, **own).text)
            except ArgumentError as error:
                raise InputError(f"example {number}: {error.what}", fix=error.fix) from None
            progress(number, len(examples))
    return (
        Measure("chrf", "chrF2", sacrebleu.corpus_chrf(said, [right]).score, QUALITY,
                higher_is_better=True),
        Measure("bleu", "BLEU", sacrebleu.corpus_bleu(said, [right]).score, QUALITY,
                higher_is_better=True),
    )  # fmt: skip
