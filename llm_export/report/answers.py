"""Ask a bundle the recipe's questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import first_line
from llm_export.pipeline.summary import Answer
from llm_export.tokenizers.chat_opening import opening
from llm_export.tokenizers.common_start import common_start
from runtime_py import LLM
from runtime_py.sampling import Sampling


@dataclass(frozen=True)
class Asked:
    """An answer, with the token ids of its prompt and of itself (empty: there is no answer), the
    one that ends it included.
    """

    answer: Answer
    prompt: tuple[int, ...] = ()
    made: tuple[int, ...] = ()


def ask(bundle: Path, questions: Sequence[str], max_new_tokens: int) -> tuple[Asked, ...]:
    """Each question is a conversation of its own, answered greedily. One that cannot be asked,
    because it does not fit the context or the chat template refuses it, has a ``problem`` instead
    of an answer.
    """
    if not questions:
        return ()
    try:
        llm = LLM.load(bundle)
    except Exception as error:
        return tuple(
            Asked(Answer(question, "", problem=first_line(error))) for question in questions
        )
    with llm:
        sampling = greedy(llm.defaults.repetition_penalty, max_new_tokens)
        return tuple(_answer(llm, question, sampling) for question in questions)


def greedy(repetition_penalty: float, max_new_tokens: int) -> Sampling:
    """The most likely token each time, after the bundle's penalty."""
    return Sampling(repetition_penalty=repetition_penalty, max_new_tokens=max_new_tokens)


def _answer(llm: LLM, question: str, sampling: Sampling) -> Asked:
    llm.reset()
    system = None
    try:
        if llm.template is None:
            ids = llm.tokenizer.encode(question)
        else:
            messages = opening(llm.template, question)
            ids = llm.tokenizer.encode(llm.template.render(messages), raw=False)
            system = messages[0]["content"] if messages[0]["role"] == "system" else None
        said = llm.generate(ids, sampling=sampling)
    except Exception as error:
        return Asked(Answer(question, "", problem=first_line(error)))
    answer = Answer(question, said.text.strip(), tokens=len(said.tokens), system=system)
    return Asked(answer, tuple(ids), tuple(said.tokens))


def agreement(answers: Sequence[Answer]) -> str:
    """How many answers are those of the float32 model, and where the others part from them; empty
    where it was not asked.
    """
    compared = [answer for answer in answers if answer.reference is not None]
    parted = [answer for answer in compared if answer.parts_at is not None]
    if not compared:
        return ""
    said = f"{len(compared) - len(parted)} of {len(compared)} as the float32 model answers"
    if parted:
        points = [str(answer.parts_at) for answer in parted]
        said += f", the {'other' if len(parted) == 1 else 'others'} up to token "
        said += points[0] if len(points) == 1 else f"{', '.join(points[:-1])} and {points[-1]}"
    return said


def unreferenced(answers: Sequence[Answer]) -> list[str]:
    """Why the float32 model has not answered, each reason once."""
    return sorted({answer.no_reference for answer in answers if answer.no_reference})


def other_end(answer: Answer) -> str:
    """The float32 model's answer from the word on in which the program's departs from it; empty
    if it ends there.
    """
    assert answer.reference is not None
    if answer.answer.startswith(answer.reference):
        return ""
    shared = common_start(answer.answer, answer.reference)
    start = answer.reference.rfind(" ", 0, shared) + 1
    return answer.reference[start:]
