"""How the text of an answer calls tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime_py.tool_calls import Schemas, ToolCall


class CutOff(ValueError):
    """The text of a call ends within a text of its own: an end marker before was part of it."""


@dataclass(frozen=True)
class ToolFormat:
    """
    Attributes:
        begins: texts, any of which begins calls.
        end: what ends them; empty: the end of the answer.
        parse: (what stands between them, schemas of the tools) -> the calls.
            Raises ValueError (CutOff if more has to follow) for anything else.
        opening: name of a tool -> how a call of it begins, up to its arguments.
        whole: the beginning is part of what ``parse`` reads.
        leads: texts that begin calls at the beginning of an answer, and nowhere else.
        tokens: texts of special tokens within calls.
    """

    name: str
    begins: tuple[str, ...]
    end: str
    parse: Callable[[str, Schemas], list[ToolCall]]
    opening: Callable[[str], str]
    whole: bool = False
    leads: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """All texts that may be special tokens of a model with this format."""
        return (*self.begins, *filter(None, (self.end,)), *self.tokens)


def json_value(text: str) -> Any:
    """
    Raises:
        ValueError: it is not valid JSON; CutOff if it ends within a string.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            raise CutOff(str(error)) from None
        raise ValueError(f"the call is not valid JSON: {error}") from None
    except RecursionError:
        raise ValueError("the call is nested too deeply") from None


def parse_json(text: str, schemas: Schemas) -> list[ToolCall]:
    """Calls as JSON, see ``json_calls``.

    Raises:
        ValueError: it is something else.
    """
    return json_calls(json_value(text))


def json_calls(value: Any) -> list[ToolCall]:
    """Calls of {"name", "arguments" or "parameters"}, or of a list of such objects.

    Raises:
        ValueError: an object has no name, or its arguments are no object.
    """
    calls = []
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict) and isinstance(each.get("function"), dict):
            each = each["function"]
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name:
            raise ValueError("the call names no tool")
        calls.append(ToolCall(name, arguments_of(each)))
    if not calls:
        raise ValueError("there is no call in it")
    return calls


def arguments_of(call: dict[str, Any]) -> dict[str, Any]:
    """The arguments of {"arguments"} or {"parameters"}: an object, or one as JSON text.

    Raises:
        ValueError: they are something else.
    """
    given: Any = next((call[n] for n in ("arguments", "parameters") if call.get(n) is not None), {})
    if isinstance(given, str):
        given = json_value(given)
    if not isinstance(given, dict):
        raise ValueError("the arguments of the call are no JSON object")
    return given
