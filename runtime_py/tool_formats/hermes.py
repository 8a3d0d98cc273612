"""``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``: Hermes, Qwen 2.5, Qwen 3, SmolLM3,
EXAONE 4, Granite 4."""

from __future__ import annotations

import json

from runtime_py.tool_formats.base import ToolFormat, parse_json

FORMAT = ToolFormat(
    "hermes",
    begins=("<tool_call>",),
    end="</tool_call>",
    parse=parse_json,
    opening=lambda name: f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": ',
)
