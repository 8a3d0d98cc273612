"""A session as lines of JSON, to keep or to bring elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.store.records import StoredMessage, StoredSession

FORMAT = 1


def lines(session: StoredSession, messages: Sequence[StoredMessage]) -> Iterator[str]:
    """First one of the session, then one of each message; none ends with a newline."""
    yield _line(
        session=FORMAT, id=session.id, title=session.title, model=session.model,
        created=session.created, settings=session.settings,
    )  # fmt: skip
    for each in messages:
        more = {} if each.stats is None else {"stats": each.stats}
        yield _line(message=each.message, created=each.created, **more)


def parsed(given: Iterable[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the session, its messages)

    Raises:
        BundleRuntimeError: a line is not as ``lines`` writes it.
    """
    head: dict[str, Any] | None = None
    messages: list[dict[str, Any]] = []
    for number, line in enumerate(given, 1):
        if not line.strip():
            continue
        found = _object(line, number)
        if head is None:
            if found.get("session") != FORMAT:
                raise _wrong(number, f"it is no session of format {FORMAT}")
            head = {"title": "", "model": "", "settings": {}, **found}
            continue
        message = found.get("message")
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise _wrong(number, "it is no message with a role")
        messages.append(found)
    if head is None:
        raise BundleRuntimeError("there is no session in it", fix="what export has written")
    return head, messages


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(number, f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise _wrong(number, "it is no JSON object")
    return found


def _wrong(number: int, what: str) -> BundleRuntimeError:
    return BundleRuntimeError(
        f"the session cannot be read: {what}", where=f"line {number}",
        fix="what export has written",
    )  # fmt: skip


def _line(**said: Any) -> str:
    return json.dumps(said, ensure_ascii=False)
