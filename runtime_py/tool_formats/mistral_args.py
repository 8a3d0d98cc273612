"""``[TOOL_CALLS]NAME[ARGS]{...}``, once for each call: Ministral 3, Magistral and others of Mistral
since 2025."""

from __future__ import annotations

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, arguments_of, json_value, parse_json

_BEGIN, _ARGS, _ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    if text.lstrip().startswith("["):
        return parse_json(text, schemas)
    calls, start = [], 0
    while start <= len(text):
        # A text among the arguments may have the mark, too.
        end = text.find(_BEGIN, start)
        while True:
            each = text[start : end if end >= 0 else len(text)]
            try:
                calls.append(_call(each))
                break
            except ValueError:
                if end < 0:
                    raise
                end = text.find(_BEGIN, end + 1)
        start = end + len(_BEGIN) if end >= 0 else len(text) + 1
    return calls


def _call(text: str) -> ToolCall:
    name, found, arguments = text.partition(_ARGS)
    if not found:  # written without the mark
        at = text.find("{")
        name, arguments = (text[:at], text[at:]) if at > 0 else (text, "")
    name = name.partition(_ID)[0].strip()
    if not name:
        raise ValueError("the call names no tool")
    return ToolCall(name, arguments_of({"arguments": json_value(arguments)}))


FORMAT = ToolFormat(
    "mistral_args", begins=(_BEGIN,), end="", parse=_parse,
    opening=lambda name: f"{_BEGIN}{name}{_ARGS}", tokens=(_ARGS, _ID),
)  # fmt: skip
