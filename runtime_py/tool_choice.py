"""Whether an answer has to call a tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime_py.errors import ArgumentError, shown
from runtime_py.tool_calls import Schemas
from runtime_py.tool_formats.base import ToolFormat


@dataclass(frozen=True)
class ToolChoice:
    """
    Attributes:
        none: no tool may be called.
        names: those of which one has to be called; empty: the model chooses.
    """

    none: bool = False
    names: tuple[str, ...] = ()

    def opening(self, format: ToolFormat | None, schemas: Schemas) -> str:
        """What an answer that calls one of them begins with.

        Raises:
            ArgumentError: it is not known how the model calls tools.
        """
        if not self.names:
            return ""
        if format is None:
            raise ArgumentError(
                "it is not known how this model calls tools", where="tool_choice",
                fix="tool_choice='auto', and read the call from the answer's text",
            )  # fmt: skip
        openings = [format.opening(name) for name in self.names]
        first, last = min(openings), max(openings)
        same = [a == b for a, b in zip(first, last, strict=False)]
        return first[: same.index(False) if False in same else len(same)]


def checked_choice(given: Any, schemas: Schemas | None) -> ToolChoice:
    """Of the OpenAI API: None or auto, none, required, or {"type": "function", "function":
    {"name": NAME}}; a tool's name alone is such a function.

    Raises:
        ArgumentError: it is something else, or names no tool.
    """
    if given is None or (isinstance(given, str) and given == "auto"):
        return ToolChoice()
    if isinstance(given, str) and given == "none":
        return ToolChoice(none=True)
    names = tuple(schemas or ())
    if isinstance(given, Mapping):
        function = given.get("function")
        given = function.get("name") if isinstance(function, Mapping) else given
    elif isinstance(given, str) and given == "required" and names:
        return ToolChoice(names=names)
    if isinstance(given, str) and given in names:
        return ToolChoice(names=(given,))
    if isinstance(given, str) and not names:
        raise ArgumentError(
            f"tool_choice {shown(given)} needs tools", where="tool_choice", fix="give tools, too"
        )
    raise ArgumentError(
        f"tool_choice must be auto, none, required, or the name of a tool, not {shown(given)}",
        where="tool_choice",
        fix=f"the tools are {', '.join(names)}" if names else "give tools, too",
    )
