"""What the answer of a chat may be: by the caller's constraint, the tools, and the reasoning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtime_py.answer_format import AnswerFormat
from runtime_py.constraints import Constraint
from runtime_py.constraints.library import installed
from runtime_py.tool_choice import ToolChoice

if TYPE_CHECKING:
    from runtime_py.constraints.chat_answer import Calls


def constrained(
    text: Any, form: AnswerFormat, choice: ToolChoice, asked: Any, steered: bool = False
) -> tuple[Any, AnswerFormat]:
    """(the constraint of the whole answer, its format)

    Args:
        text: the caller's constraint, which is that of the answer's text.
        form: how reasoning and calls are marked.
        asked: the caller's ``tool_choice``. Without one, calls are not constrained; a tool's
            name is one call.
        steered: the caller changes logits. A call then begins without being sampled; else the
            constraint lets the model choose the tokens around what follows the beginning.
    """
    if text is not None and not isinstance(text, Constraint):
        return text, form
    calls = _calls(text, form, choice, asked)
    if calls is None and (text is None or form.reasoning is None):
        return text, form
    from runtime_py.constraints.chat_answer import ChatAnswer

    if calls is not None and not steered:
        form = replace(form, opening="")
    return ChatAnswer(text, form.reasoning, form.opened, calls), form


def _calls(
    text: Constraint | None, form: AnswerFormat, choice: ToolChoice, asked: Any
) -> Calls | None:
    """The calls that the answer may have; None: calls are not constrained."""
    if form.tools is None or not form.schemas or (asked is None and text is None):
        return None
    if not installed():
        return None
    from runtime_py.constraints.call_syntax import call_syntax
    from runtime_py.constraints.chat_answer import Calls

    syntax, required = call_syntax(form.tools), bool(choice.names)
    # Among free text, only a marker tells where a call begins.
    if syntax is None or (text is None and not required and not syntax.starts):
        return None
    names = choice.names or tuple(form.schemas)
    return Calls(syntax, names, form.schemas, required, required and asked != "required")
