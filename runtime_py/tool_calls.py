"""Calls of tools in an answer."""

from __future__ import annotations

import json
import math
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_DEEPEST = 64
"""Lists and objects within one another in the arguments of a call."""
_ID = string.ascii_letters + string.digits


def call_id() -> str:
    """9 letters and digits, at random: the templates of Mistral take no others."""
    return "".join(secrets.choice(_ID) for _ in range(9))


@dataclass(frozen=True)
class ToolCall:
    """
    Attributes:
        id: names the call in the message with its result (``tool_call_id``).
        name: of the tool.
        arguments: name -> JSON value.
    """

    name: str
    arguments: dict[str, Any]
    id: str = field(default_factory=call_id)

    def checked(self) -> ToolCall:
        """The call as JSON can write it, in UTF-8: halves of surrogate pairs are joined, or else
        replaced by U+FFFD.

        Raises:
            ValueError: it is nested too deeply, or has a number that is not finite.
        """
        return replace(self, name=_json_value(self.name), arguments=_json_value(self.arguments))

    def as_dict(self, *, text: bool = False) -> dict[str, Any]:
        """As in a message of the assistant: {"id", "type", "function": {"name", "arguments"}}.

        Args:
            text: write the arguments as JSON text, as the OpenAI API does. Chat templates read
                them as a dict.
        """
        arguments = json.dumps(self.arguments, ensure_ascii=False) if text else self.arguments
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}


def _json_value(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("the call is nested too deeply")
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the call has the number {value}, which JSON does not have")
    if isinstance(value, dict):
        return {_json_value(k): _json_value(v, depth + 1) for k, v in value.items()}
    return [_json_value(v, depth + 1) for v in value] if isinstance(value, list) else value


Schemas = Mapping[str, Mapping[str, Any]]
"""Name of a tool -> the JSON schema of its arguments."""


def schemas_of(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Of tools as ``tool_schemas`` gives them; those without a name are left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for tool in tools:
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and isinstance(name := function.get("name"), str):
            parameters = function.get("parameters")
            found[name] = parameters if isinstance(parameters, Mapping) else {}
    return found


def argument_schema(schemas: Schemas, tool: str, name: str) -> Mapping[str, Any]:
    """The JSON schema of an argument; empty if none is known."""
    properties = schemas.get(tool, {}).get("properties")
    found = properties.get(name) if isinstance(properties, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def typed_value(text: str, schema: Mapping[str, Any]) -> Any:
    """The value of an argument that a format writes as bare text, by its JSON schema: a text where
    the schema allows one and the value is not of another of its types, else JSON; the text itself
    if it is not valid JSON.
    """
    kinds = _kinds(schema)
    if kinds == {"string"}:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        spoken = {"true": True, "false": False, "none": None, "null": None}
        return spoken.get(text.strip().lower(), text)
    fits = not kinds or any(_is(value, kind) for kind in kinds)
    return value if fits or "string" not in kinds else text


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema allows; empty: any."""
    kind = schema.get("type")
    several = kind if isinstance(kind, list) else [kind]
    kinds = {each for each in several if isinstance(each, str)}
    for name in ("anyOf", "oneOf"):
        parts = schema.get(name)
        for part in parts if isinstance(parts, list | tuple) else ():
            kinds |= _kinds(part) if isinstance(part, Mapping) else set()
    if not kinds and isinstance(choices := schema.get("enum"), list):
        kinds = {"string"} if all(isinstance(each, str) for each in choices) else set()
    return kinds | ({"null"} if schema.get("nullable") and kinds else set())


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    types: dict[str, Any] = {
        "string": str, "integer": int, "number": int | float, "array": list, "object": dict,
        "null": type(None),
    }  # fmt: skip
    return kind in types and isinstance(value, types[kind])
