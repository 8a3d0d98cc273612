"""``<start_function_call>call:NAME{KEY:<escape>TEXT<escape>}<end_function_call>``:
FunctionGemma."""

from __future__ import annotations

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat
from runtime_py.tool_formats.literals import Literals

_QUOTE = "<escape>"


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    return [Literals(text, (_QUOTE,)).braced_call()]


FORMAT = ToolFormat(
    "function_gemma", begins=("<start_function_call>",), end="<end_function_call>", parse=_parse,
    opening=lambda name: f"<start_function_call>call:{name}{{", tokens=(_QUOTE,),
)  # fmt: skip
