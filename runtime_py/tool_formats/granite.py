"""``<|tool_call|>[{"name": ..., "arguments": {...}}]`` up to the end of the answer: Granite 3."""

from __future__ import annotations

import json

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, json_calls, json_value


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    return json_calls(json_value(text))


FORMAT = ToolFormat(
    "granite", begins=("<|tool_call|>",), end="", parse=_parse,
    opening=lambda name: f'<|tool_call|>[{{"name": {json.dumps(name)}, "arguments": ',
)  # fmt: skip
