"""``<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}<|call|>``: the
harmony format of gpt-oss."""

from __future__ import annotations

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, arguments_of, json_value

_BEGIN, _MESSAGE = "to=functions.", "<|message|>"


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    header, found, body = text.partition(_MESSAGE)
    name = header.partition("<|")[0].split()
    if not found or not name:
        raise ValueError("the call has no name and message")
    return [ToolCall(name[0], arguments_of({"arguments": json_value(body)}))]


FORMAT = ToolFormat(
    "harmony", begins=(_BEGIN,), end="<|call|>", parse=_parse,
    opening=lambda name: (
        f"<|channel|>commentary {_BEGIN}{name} <|constrain|>json{_MESSAGE}"
    ),
    tokens=("<|channel|>", "<|constrain|>", _MESSAGE, "<|start|>", "<|end|>"),
)  # fmt: skip
