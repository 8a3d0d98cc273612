"""``<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{...}<｜tool▁call▁end｜>`` between
``<｜tool▁calls▁begin｜>`` and ``<｜tool▁calls▁end｜>``: DeepSeek V3.1; V3 and R1 write function
before the separator, and the name and a block of JSON behind it."""

from __future__ import annotations

import re

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import CutOff, ToolFormat, arguments_of, json_value

_BEGIN, _END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_ONE, _SEP, _ONE_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_EACH = re.compile(rf"\s*{_ONE}(.*?){_SEP}(.*?)(?:{_ONE_END}|\Z)\s*", re.DOTALL)
_FENCED = re.compile(r"(.*?)\n```(?:json)?\n(.*?)\n?```\s*", re.DOTALL)


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    calls, at = [], 0
    while at < len(text) and (each := _EACH.match(text, at)):
        name, arguments = each[1].strip(), each[2]
        if fenced := _FENCED.fullmatch(arguments):
            name, arguments = fenced[1].strip(), fenced[2]
        if not name:
            raise ValueError("the call names no tool")
        calls.append(ToolCall(name, arguments_of({"arguments": json_value(arguments)})))
        at = each.end()
    if text[at:].strip() or not calls:
        raise (CutOff if text[at:].startswith(_ONE) else ValueError)("there is no call in it")
    return calls


FORMAT = ToolFormat(
    "deepseek", begins=(_BEGIN,), end=_END, parse=_parse,
    opening=lambda name: f"{_BEGIN}{_ONE}{name}{_SEP}", tokens=(_ONE, _SEP, _ONE_END),
)  # fmt: skip
