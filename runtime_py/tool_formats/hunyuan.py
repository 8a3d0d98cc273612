"""``<tool_calls>[{"name": ..., "arguments": {...}}]</tool_calls>``, or calls with arg_key and
arg_value in it: Hunyuan."""

from __future__ import annotations

import json
import re

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import CutOff, ToolFormat, parse_json
from runtime_py.tool_formats.glm import parse as parse_pairs

_EACH = re.compile(r"\s*<tool_call>(.*?)</tool_call>\s*", re.DOTALL)


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    if "<tool_call>" not in text:
        return parse_json(text, schemas)
    calls, at = [], 0
    while at < len(text) and (each := _EACH.match(text, at)):
        calls += parse_pairs(each[1], schemas)
        at = each.end()
    if text[at:].strip():
        raise CutOff("a call has no end")
    return calls


FORMAT = ToolFormat(
    "hunyuan", begins=("<tool_calls>",), end="</tool_calls>", parse=_parse,
    opening=lambda name: f'<tool_calls>[{{"name": {json.dumps(name)}, "arguments": ',
    tokens=("<tool_call>", "</tool_call>", "<tool_sep>", "<arg_key>", "</arg_key>", "<arg_value>",
            "</arg_value>"),
)  # fmt: skip
