"""``<|tool_call_start|>[NAME(KEY=VALUE)]<|tool_call_end|>``: LFM2."""

from __future__ import annotations

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, parse_json
from runtime_py.tool_formats.pythonic import parse as parse_python


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    """A system message may ask these models for JSON."""
    if text.lstrip("[ \n").startswith("{"):
        return parse_json(text, schemas)
    return parse_python(text, schemas)


FORMAT = ToolFormat(
    "lfm2", begins=("<|tool_call_start|>",), end="<|tool_call_end|>", parse=_parse,
    opening=lambda name: f"<|tool_call_start|>[{name}(",
)  # fmt: skip
