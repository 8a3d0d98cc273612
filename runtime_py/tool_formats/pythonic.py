"""``[NAME(KEY=VALUE)]`` as the whole answer: Llama 4, and models tuned after it."""

from __future__ import annotations

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat
from runtime_py.tool_formats.literals import Literals


def parse(text: str, schemas: Schemas) -> list[ToolCall]:
    """The calls of a list, or of lines."""
    return Literals(text).calls()


FORMAT = ToolFormat(
    "pythonic", begins=(), end="", parse=parse, opening=lambda name: f"[{name}(",
    leads=("[",), whole=True,
)  # fmt: skip
