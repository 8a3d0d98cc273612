"""``<|tool_call|>[{"name": ..., "arguments": {...}}]<|/tool_call|>``: Phi-4-mini."""

from __future__ import annotations

import dataclasses

from runtime_py.tool_formats.granite import FORMAT as GRANITE

FORMAT = dataclasses.replace(GRANITE, name="phi4_mini", end="<|/tool_call|>")
