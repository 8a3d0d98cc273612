"""Conversations of OpenAI's API as chat templates take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtime_py.server.errors import wrong

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant",
         "tool": "tool"}  # fmt: skip
_KEPT = ("name", "tool_call_id", "reasoning_content")
_TEXTS = ("text", "input_text", "output_text", "refusal")
"""Kinds of parts that have a text."""


def messages(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Raises:
        ApiError: a message is none, or has parts that are no text.
    """
    if not given:
        raise wrong("messages must have at least one message", "messages")
    return [_message(message, f"messages[{number}]") for number, message in enumerate(given)]


def _message(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    role = given.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise wrong(f"{where}.role must be one of {', '.join(ROLES)}", f"{where}.role")
    made: dict[str, Any] = {"role": ROLES[role]}
    made["content"] = content(given.get("content"), f"{where}.content")
    for name in _KEPT:
        if given.get(name) is not None:
            made[name] = given[name]
    if calls := given.get("tool_calls"):
        if not isinstance(calls, list):
            raise wrong(f"{where}.tool_calls must be a list", f"{where}.tool_calls")
        made["tool_calls"] = [_call(call, f"{where}.tool_calls[{i}]") for i, call in
                              enumerate(calls)]  # fmt: skip
    elif given.get("content") is None:
        raise wrong(f"{where} needs a content", f"{where}.content")
    return made


def content(given: Any, where: str) -> str:
    """The text of a message; of parts, joined."""
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise wrong(f"{where} must be a text or a list of parts", where)
    texts = []
    for number, part in enumerate(given):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXTS:
            raise wrong(
                f"{where}[{number}] must be a part of type text; the model reads text only",
                f"{where}[{number}]", "unsupported_content",
            )  # fmt: skip
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise wrong(f"{where}[{number}].text must be a text", f"{where}[{number}].text")
        texts.append(text)
    return "".join(texts)


def _call(given: Any, where: str) -> dict[str, Any]:
    """Templates take the arguments as a mapping; OpenAI's API writes them as JSON."""
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise wrong(f"{where}.function.name is missing", where)
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            raise wrong(
                f"{where}.function.arguments is not valid JSON", f"{where}.function.arguments"
            ) from None
    return {
        "id": str(given.get("id") or ""),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }
