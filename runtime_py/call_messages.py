"""Messages with calls of tools, in the two forms that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


def with_objects(messages: Any) -> Any:
    """With the arguments of calls as objects: most templates write them as JSON themselves, and the
    OpenAI API has them as text."""
    return _each(messages, _object)


def with_texts(messages: Any) -> Any:
    """With the arguments of calls as JSON text, as the other templates read them."""
    return _each(messages, lambda given: given if isinstance(given, str) else json.dumps(given))


def has_calls(messages: Any) -> bool:
    """Whether a message calls a tool."""
    several = messages if isinstance(messages, list | tuple) else ()
    return any(isinstance(each, Mapping) and each.get("tool_calls") for each in several)


def _each(messages: Any, change: Callable[[Any], Any]) -> Any:
    if not has_calls(messages):
        return messages
    return [_changed(message, change) for message in messages]


def _changed(message: Any, change: Callable[[Any], Any]) -> Any:
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    if not isinstance(calls, list | tuple):
        return message
    return {**message, "tool_calls": [_call(call, change) for call in calls]}


def _call(call: Any, change: Callable[[Any], Any]) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "arguments" not in function:
        return call
    try:
        return {**call, "function": {**function, "arguments": change(function["arguments"])}}
    except (TypeError, ValueError):  # what has no JSON form
        return call


def _object(given: Any) -> Any:
    try:
        made = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return given
    return made if isinstance(made, Mapping) else given
