"""``[TOOL_CALLS][{"name": ..., "arguments": {...}}]``: Mistral up to 2024."""

from __future__ import annotations

import json

from runtime_py.tool_formats.base import ToolFormat, parse_json

FORMAT = ToolFormat(
    "mistral", begins=("[TOOL_CALLS]",), end="", parse=parse_json,
    opening=lambda name: f'[TOOL_CALLS][{{"name": {json.dumps(name)}, "arguments": ',
)  # fmt: skip
