"""What the answer of a chat may be: by the caller's constraint, the tools, and the reasoning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime_py.answer_format import AnswerFormat
from runtime_py.constraints import Constraint
from runtime_py.constraints.library import installed
from runtime_py.tool_choice import ToolChoice


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
    tools = (
        form.tools
        if form.schemas and (asked is not None or text is not None) and installed()
        else None
    )
    if tools is None and (text is None or form.reasoning is None):
        return text, form
    from runtime_py.constraints.call_syntax import call_syntax
    from runtime_py.constraints.chat_answer import Calls, ChatAnswer

    syntax = None if tools is None else call_syntax(tools)
    free = text is None and not choice.names
    if syntax is not None and free and not syntax.starts:
        syntax = None
    calls = None
    if syntax is not None:
        names = choice.names or tuple(form.schemas)
        required = bool(choice.names)
        calls = Calls(syntax, names, form.schemas, required, required and asked != "required")
        form = form if steered else replace(form, opening="")
    if calls is None and (text is None or form.reasoning is None):
        return text, form
    return ChatAnswer(text, form.reasoning, form.opened, calls), form
