"""``<|START_ACTION|>[{"tool_call_id": ..., "tool_name": ..., "parameters": {...}}]<|END_ACTION|>``:
Command R7B, Command A, Aya."""

from __future__ import annotations

import json

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, json_calls, json_value


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    value = json_value(text)
    return json_calls(
        [
            {**each, "name": each.get("tool_name")} if isinstance(each, dict) else each
            for each in (value if isinstance(value, list) else [value])
        ]
    )


FORMAT = ToolFormat(
    "command", begins=("<|START_ACTION|>",), end="<|END_ACTION|>", parse=_parse,
    opening=lambda name: (
        '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": '
        f'{json.dumps(name)}, "parameters": '
    ),
)  # fmt: skip
