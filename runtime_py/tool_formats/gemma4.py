"""``<|tool_call>call:NAME{KEY:<|"|>TEXT<|"|>}<tool_call|>``: Gemma 4."""

from __future__ import annotations

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat
from runtime_py.tool_formats.literals import Literals

_QUOTE = '<|"|>'


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    return [Literals(text, (_QUOTE, '"')).braced_call()]


FORMAT = ToolFormat(
    "gemma4", begins=("<|tool_call>",), end="<tool_call|>", parse=_parse,
    opening=lambda name: f"<|tool_call>call:{name}{{", tokens=(_QUOTE,),
)  # fmt: skip
