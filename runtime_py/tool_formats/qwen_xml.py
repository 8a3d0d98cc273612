"""``<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>``:
Qwen3-Coder, Qwen 3.5, Nemotron 3."""

from __future__ import annotations

import re

from runtime_py.tool_calls import Schemas, ToolCall, typed_value
from runtime_py.tool_formats.base import CutOff, ToolFormat

_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>(.*?)</parameter>\s*", re.DOTALL)


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    found = _FUNCTION.fullmatch(text)
    if found is None:
        raise (CutOff if "<parameter=" in text else ValueError)("the call has no <function=NAME>")
    name, body = found[1].strip(), found[2]
    properties = schemas.get(name, {}).get("properties") or {}
    arguments, at = {}, 0
    for each in _PARAMETER.finditer(body):
        if body[at : each.start()].strip():
            break
        value = each[2].removeprefix("\n").removesuffix("\n")
        arguments[each[1].strip()] = typed_value(value, properties.get(each[1].strip()) or {})
        at = each.end()
    if body[at:].strip():
        raise ValueError("there is something else than <parameter=NAME> in the call")
    return [ToolCall(name, arguments)]


FORMAT = ToolFormat(
    "qwen_xml",
    begins=("<tool_call>",),
    end="</tool_call>",
    parse=_parse,
    opening=lambda name: f"<tool_call>\n<function={name}>\n",
)
