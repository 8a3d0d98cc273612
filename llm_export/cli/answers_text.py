"""Answers to the recipe's questions, beside the float32 model's, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from llm_export.cli.layout import fold
from llm_export.cli.runtime_args import printable
from llm_export.pipeline.summary import Answer
from llm_export.report.answers import agreement, other_end


def print_answers(answers: Sequence[Answer]) -> None:
    """Each question with its answer and, where the float32 model answers something else, how that
    goes on from there.
    """
    if said := agreement(answers):
        print(fold(f"\nanswers: {said}"))
    for answer in answers:
        text = f"[not answered: {answer.problem}]" if answer.problem else answer.answer
        print(fold(f"\n> {printable(answer.question)}"))
        print(fold(printable(text), 0))
        if answer.parts_at is not None:
            end = " ".join(printable(other_end(answer)).split())
            print(fold(f"  [float32 from token {answer.parts_at}: {end or 'it ends'}]", 0))
