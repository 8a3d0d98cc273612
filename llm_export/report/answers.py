"""Ask a bundle the recipe's questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_export.errors import first_line
from llm_export.pipeline.summary import Answer
from llm_export.tokenizers.chat_opening import opening
from runtime_py import LLM


def ask(bundle: Path, questions: Sequence[str], max_new_tokens: int) -> tuple[Answer, ...]:
    """Each question is a conversation of its own, answered with a fixed seed. One that cannot be
    asked, because it does not fit the context or the chat template refuses it, has a ``problem``
    instead of an answer.
    """
    if not questions:
        return ()
    try:
        llm = LLM.load(bundle)
    except Exception as error:
        return tuple(Answer(question, "", problem=first_line(error)) for question in questions)
    with llm:
        return tuple(_answer(llm, question, max_new_tokens) for question in questions)


def _answer(llm: LLM, question: str, max_new_tokens: int) -> Answer:
    llm.reset()
    try:
        if llm.template is None:
            said = llm.generate(question, max_new_tokens=max_new_tokens, seed=0)
            return Answer(question, said.text.strip())
        messages = opening(llm.template, question)
        said = llm.chat(messages, max_new_tokens=max_new_tokens, seed=0)
    except Exception as error:
        return Answer(question, "", problem=first_line(error))
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    return Answer(question, said.text.strip(), system=system)
