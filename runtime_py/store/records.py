"""What a store says of a session and of its messages, and what may be written of them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime_py.errors import ArgumentError, shown

Message = Mapping[str, Any]

TITLE = 60
"""Characters of the title that a first message gives a session."""
_MOST = 64 << 20
"""Bytes of a message, or of settings."""
RESERVED = ("last", "new")
_ID = re.compile(r"[\w.@:+-]{1,200}")


@dataclass(frozen=True)
class StoredSession:
    """
    Attributes:
        title: by default the beginning of the user's first message.
        created, updated: seconds since 1970.
        model: name of the bundle that it was held with.
        program, adapter: SHA-256 of their files; '' where there is none.
        settings: sampling settings and whatever else the caller keeps with it.
        branch_of: id of the session that it began as a copy of; None: of none.
        messages: number of messages.
        tokens: number of tokens that the KV cache held.
    """

    id: str
    title: str
    created: float
    updated: float
    model: str
    program: str
    adapter: str
    settings: dict[str, Any]
    branch_of: str | None
    messages: int
    tokens: int


@dataclass(frozen=True)
class StoredMessage:
    """
    Attributes:
        id: stays the same when other messages go.
        message: role, content, and where there are any reasoning_content, tool_calls and others,
            as chat templates and OpenAI's API have them.
        stats: speed and counts of a generated answer.
        created: seconds since 1970.
    """

    id: int
    message: dict[str, Any]
    stats: dict[str, Any] | None
    created: float


def new_id() -> str:
    return secrets.token_hex(4)


def checked_id(given: Any) -> str:
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise ArgumentError(
            f"a session's id must be of letters, digits and ._@:+-, not {shown(given)}"
        )
    if given in RESERVED:
        raise ArgumentError(f"'{given}' means a session, and can be no id of one")
    return given


def checked_text(name: str, given: Any) -> str:
    if not isinstance(given, str) or len(given) > 10_000:
        raise ArgumentError(f"{name} must be a text of at most 10000 characters")
    return _encodable(name, given)


def message_json(given: Any) -> str:
    """
    Raises:
        ArgumentError: it is no message, or JSON cannot hold it.
    """
    if not isinstance(given, Mapping) or not isinstance(given.get("role"), str):
        raise ArgumentError(
            f"a message must be a dict with a role, not {shown(given)}",
            fix='{"role": "user", "content": "..."}',
        )
    return json_of("a message", given)


def json_of(name: str, given: Any) -> str:
    try:
        text = json.dumps(given, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"{name} cannot be written as JSON: {error}") from None
    if len(text) > _MOST:
        raise ArgumentError(f"{name} has {len(text)} characters; a store takes {_MOST}")
    return _encodable(name, text)


def json_object(text: str) -> dict[str, Any]:
    """What ``object_json`` wrote; raises ValueError or TypeError for anything else."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"it has {shown(found)} where an object must be")
    return found


def object_json(name: str, given: Any) -> str:
    if not isinstance(given, Mapping):
        raise ArgumentError(f"{name} must be a dict, not {type(given).__name__}")
    return json_of(name, given)


def checked_time(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e11:
        raise ArgumentError(f"created must be a number of seconds since 1970, not {shown(given)}")
    return float(given)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _encodable(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"{name} has half of a character: a lone surrogate") from None
    return text


def title_of(message: Message) -> str:
    """The beginning of a message's text in one line; '' if it has none."""
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text", "") for part in content if isinstance(part, Mapping)]
        content = " ".join(text for text in texts if isinstance(text, str))
    words = " ".join(content[: 10 * TITLE].split()) if isinstance(content, str) else ""
    return words if len(words) <= TITLE else words[: TITLE - 1].rstrip() + "…"
