"""``<function_calls>NAME(KEY=VALUE)</function_calls>``: OLMo 3."""

from __future__ import annotations

from runtime_py.tool_formats.base import ToolFormat
from runtime_py.tool_formats.pythonic import parse

FORMAT = ToolFormat(
    "olmo3", begins=("<function_calls>",), end="</function_calls>", parse=parse,
    opening=lambda name: f"<function_calls>{name}(",
)  # fmt: skip
