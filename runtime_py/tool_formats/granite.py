"""``<|tool_call|>[{"name": ..., "arguments": {...}}]`` up to the end of the answer: Granite 3."""

from __future__ import annotations

import json

from runtime_py.tool_formats.base import ToolFormat, parse_json

FORMAT = ToolFormat(
    "granite", begins=("<|tool_call|>",), end="", parse=parse_json,
    opening=lambda name: f'<|tool_call|>[{{"name": {json.dumps(name)}, "arguments": ',
)  # fmt: skip
