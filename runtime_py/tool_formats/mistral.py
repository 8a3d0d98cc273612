"""``[TOOL_CALLS][{"name": ..., "arguments": {...}}]``: Mistral up to 2024."""

from __future__ import annotations

import json

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, json_calls, json_value


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    return json_calls(json_value(text))


FORMAT = ToolFormat(
    "mistral", begins=("[TOOL_CALLS]",), end="", parse=_parse,
    opening=lambda name: f'[TOOL_CALLS][{{"name": {json.dumps(name)}, "arguments": ',
)  # fmt: skip
