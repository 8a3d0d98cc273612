"""Conversations and tools that chat templates render."""

from __future__ import annotations

from typing import Any


def weather(city: str, days: int = 1, units: list[str] | None = None) -> float:
    """
    The weather in a city, "as measured" <there> & then.

    Args:
        city: the city, such as Zürich
        days: how many days
            ahead of today
        units: which (choices: ["C", "F"])

    Returns:
        the temperature
    """
    return float(len(city) + days)


TIME = {
    "type": "function",
    "function": {
        "name": "time", "description": "The time <now>, it's Zürich's",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}},
                       "required": ["zone"]},
    },
}  # fmt: skip

_CALL = {
    "id": "abcdefghi", "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Zürich's <b> & \"co\"", "days": 2}},
}  # fmt: skip


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


SYSTEM = {"role": "system", "content": "Be brief /no_think"}
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "one": {"messages": [user("Hi there")]},
    "system": {"messages": [SYSTEM, user("  Padded \n")]},
    "turns": {"messages": [user("a"), assistant(" b\n"), user("c"), assistant("d"), user("é <&>")]},
    "answered": {"messages": [SYSTEM, user("a"), assistant("b")], "add_generation_prompt": False},
    "thought": {"messages": [user("a"), assistant("<think>\nx\n</think>\n\nb"), user("c")]},
    "reasoning": {"messages": [user("a"), assistant("b", reasoning="because"), user("c"),
                               assistant("d", thinking="so")], "add_generation_prompt": False},
    "no thinking": {"messages": [user("a")], "enable_thinking": False, "thinking": True},
    "variables": {"messages": [user("a")], "date_string": "1 Jan 2026", "reasoning_effort": "low",
                  "controls": {"length": "short"}, "bos_token": "<own>", "unknown": [1, None]},
    "tools": {"messages": [user("weather?")], "tools": [weather, TIME]},
    "call": {"messages": [SYSTEM, user("weather?"), {"role": "assistant", "tool_calls": [_CALL]},
                          {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi",
                           "content": "21 °C"}], "tools": [TIME, weather]},
    "call with none": {"messages": [user("weather?"), assistant(None, tool_calls=[_CALL]),
                                    {"role": "tool", "tool_call_id": "abcdefghi", "content": "3"},
                                    assistant("It's 3", tool_calls=None)],
                       "add_generation_prompt": False},
    "none": {"messages": [user("a"), assistant(None), user("b")]},
    "parts": {"messages": [{"role": "system", "content": [{"type": "text", "text": "S"}]},
                           user([{"type": "image", "image": object()},
                                 {"type": "text", "text": "T "}])]},
    "mapping": {"messages": [user("a"), {"role": "assistant", "tool_calls": [_CALL]},
                             {"role": "tool", "tool_call_id": "abcdefghi",
                              "content": {"content": 7, "unit": "°"}}]},
    "documents": {"messages": [user("a")],
                  "documents": [{"doc_id": 1, "title": "T", "text": "é <x>"},
                                {"doc_id": 2, "text": "y"}]},
    "documents and tools": {"messages": [SYSTEM, user("a")], "tools": [TIME], "documents": []},
    "empty tools": {"messages": [user("a")], "tools": []},
}  # fmt: skip
