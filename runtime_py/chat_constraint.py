"""What the answer of a chat may be: by the caller's constraint, the tools, and the reasoning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime_py.answer_format import AnswerFormat
from runtime_py.constraints import Constraint
from runtime_py.constraints.library import installed
from runtime_py.tool_choice import ToolChoice


def constrained(
    text: Any, form: AnswerFormat, choice: ToolChoice, asked: bool
) -> tuple[Any, AnswerFormat]:
    """(the constraint of the whole answer, its format)

    Args:
        text: the caller's constraint, which is that of the answer's text.
        form: how reasoning and calls are marked.
        asked: whether the caller said which tools may be called. If not, calls are not constrained.
    """
    if text is not None and not isinstance(text, Constraint):
        return text, form
    tools = form.tools if form.schemas and (asked or text is not None) and installed() else None
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
        calls = Calls(syntax, names, form.schemas, bool(choice.names))
        form = replace(form, opening="")
    if calls is None and (text is None or form.reasoning is None):
        return text, form
    return ChatAnswer(text, form.reasoning, form.opened, calls), form
