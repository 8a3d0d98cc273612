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
_IMAGES = ("image_url", "input_image")


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
    if not isinstance(made["content"], str) and role not in ("user", "system", "developer", "tool"):
        raise wrong(f"{where}: only the user's messages have images", where, "unsupported_content")
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


def content(given: Any, where: str) -> str | list[dict[str, Any]]:
    """The text of a message, of parts joined; or the parts, if some of them are images."""
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise wrong(f"{where} must be a text or a list of parts", where)
    parts = [_part(part, f"{where}[{number}]") for number, part in enumerate(given)]
    if any(part["type"] != "text" for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def _part(given: Any, where: str) -> dict[str, Any]:
    part: dict[str, Any] = given if isinstance(given, dict) else {}
    kind = part.get("type")
    if kind in _IMAGES:
        return _image(part, where)
    if kind not in _TEXTS:
        raise wrong(
            f"{where} must be a part of type text or {' or '.join(_IMAGES)}", where,
            "unsupported_content",
        )  # fmt: skip
    text = part.get("refusal" if kind == "refusal" else "text")
    if not isinstance(text, str):
        raise wrong(f"{where}.text must be a text", f"{where}.text")
    return {"type": "text", "text": text}


def _image(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An image within the request. The server reads no file and fetches nothing for a client: what
    it reaches, and what is on its disk, is not the client's."""
    found, detail = part.get("image_url"), part.get("detail")
    if isinstance(found, dict):
        detail = found.get("detail", detail)
        found = found.get("url")
    if not isinstance(found, str) or found[:5].lower() != "data:":
        raise wrong(
            f"{where}.image_url must be a data URL, as data:image/png;base64,...; the server "
            "fetches no images", f"{where}.image_url", "unsupported_content",
        )  # fmt: skip
    if detail not in (None, "auto", "low", "high", "original"):
        raise wrong(f"{where}: detail must be auto, low or high", f"{where}.image_url.detail")
    return {"type": "image_url", "image_url": {"url": found, "detail": detail or "auto"}}


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
