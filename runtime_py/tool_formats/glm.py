"""``<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>``: GLM-4.5."""

from __future__ import annotations

import re

from runtime_py.tool_calls import Schemas, ToolCall, typed_value
from runtime_py.tool_formats.base import CutOff, ToolFormat

_PAIR = re.compile(
    r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*", re.DOTALL
)  # fmt: skip


def parse(text: str, schemas: Schemas) -> list[ToolCall]:
    """One call, without what surrounds it."""
    name, found, rest = text.partition("<arg_key>")
    name, body = name.removesuffix("<tool_sep>").strip().removesuffix("<tool_sep>"), found + rest
    if not name or "<" in name or "{" in name:
        raise ValueError("the call names no tool")
    properties = schemas.get(name, {}).get("properties") or {}
    arguments, at = {}, 0
    while at < len(body) and (pair := _PAIR.match(body, at)):
        key = pair[1].strip()
        arguments[key] = typed_value(pair[2], properties.get(key) or {})
        at = pair.end()
    if body[at:].strip():
        open_ = body.count("<arg_value>") > body.count("</arg_value>")
        raise (CutOff if open_ else ValueError)("there is something else than arguments in it")
    return [ToolCall(name, arguments)]


FORMAT = ToolFormat(
    "glm", begins=("<tool_call>",), end="</tool_call>", parse=parse,
    opening=lambda name: f"<tool_call>{name}\n", tokens=("<arg_key>", "</arg_key>", "<arg_value>",
                                                         "</arg_value>"),
)  # fmt: skip
