"""The items of OpenAI's responses: of a request as messages, and of an answer."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from runtime_py.server.errors import wrong
from runtime_py.server.messages import content, messages
from runtime_py.stats import Generation


def input_messages(given: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a request.

    Raises:
        ApiError: an item is of a kind that the server does not know.
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    found: list[dict[str, Any]] = []
    for number, item in enumerate(given):
        _add(found, item, f"input[{number}]")
    if not found:
        raise wrong("input must have at least one item", "input")
    return found


def _add(found: list[dict[str, Any]], item: Mapping[str, Any], where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role, text = item.get("role"), content(item.get("content"), f"{where}.content")
        found += messages([{"role": role, "content": text}])
    elif kind == "function_call":
        call = {"id": item.get("call_id"), "function": item}
        made = messages([{"role": "assistant", "tool_calls": [call]}])[0]
        # Calls that follow one another are one message.
        if found and "tool_calls" in found[-1]:
            found[-1]["tool_calls"] += made["tool_calls"]
        else:
            found.append(made)
    elif kind == "function_call_output":
        text = content(item.get("output"), f"{where}.output")
        if not isinstance(text, str):
            raise wrong(f"{where}.output must be text", f"{where}.output", "unsupported_content")
        found.append({"role": "tool", "tool_call_id": str(item.get("call_id")), "content": text})
    elif kind != "reasoning":  # which the model does not need again
        raise wrong(
            f"{where}.type must be message, function_call, function_call_output or reasoning",
            f"{where}.type", "unsupported_value",
        )  # fmt: skip


def own_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(16)}"


def message_item(text: str, logprobs: list[Any] | None, status: str, id: str) -> dict[str, Any]:
    part = text_part(text, logprobs)
    return {"id": id, "type": "message", "role": "assistant", "status": status,
            "content": [part] if status != "in_progress" else []}  # fmt: skip


def text_part(text: str, logprobs: list[Any] | None) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def reasoning_item(text: str, status: str, id: str) -> dict[str, Any]:
    parts = [{"type": "reasoning_text", "text": text}] if status != "in_progress" else []
    return {"id": id, "type": "reasoning", "summary": [], "content": parts, "status": status}


def call_item(call: Any, status: str, id: str) -> dict[str, Any]:
    function = call.as_dict(text=True)["function"]
    return {"id": id, "type": "function_call", "call_id": call.id, "name": function["name"],
            "arguments": function["arguments"] if status != "in_progress" else "",
            "status": status}  # fmt: skip


def output_items(answer: Generation, logprobs: list[Any] | None) -> list[dict[str, Any]]:
    """Those of a complete answer."""
    status = "incomplete" if answer.finish in ("length", "context") else "completed"
    items = []
    if answer.reasoning:
        items.append(reasoning_item(answer.reasoning, status, own_id("rs")))
    if answer.text or not (answer.tool_calls or answer.reasoning):
        items.append(message_item(answer.text, logprobs, status, own_id("msg")))
    items += [call_item(call, "completed", own_id("fc")) for call in answer.tool_calls]
    return items
