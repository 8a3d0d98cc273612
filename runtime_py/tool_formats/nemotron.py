"""``<TOOLCALL>[{"name": ..., "arguments": {...}}]</TOOLCALL>``: Nemotron up to Nano 2."""

from __future__ import annotations

import dataclasses
import json

from runtime_py.tool_formats.granite import FORMAT as GRANITE

FORMAT = dataclasses.replace(
    GRANITE, name="nemotron", begins=("<TOOLCALL>",), end="</TOOLCALL>",
    opening=lambda name: f'<TOOLCALL>[{{"name": {json.dumps(name)}, "arguments": ',
)  # fmt: skip
