"""Let a function of the caller make a conversation shorter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from runtime_py.chat_template import Message
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.sessions.overflow.policy import Overflow, Turn, check_reserve, reserved

Summary = Callable[[list[Message]], list[Message]]


@dataclass(frozen=True)
class Summarise(Overflow):
    """
    Attributes:
        summary: called with all messages when a turn would not fit; returns those that are fed,
            the one to be answered included. It may ask the model itself, in another session.
        reserve: tokens that must be free for the answer; None: max_new_tokens, but at most a
            quarter of the context.
    """

    summary: Summary
    reserve: int | None = None
    name: ClassVar[str] = "summarise"

    def __post_init__(self) -> None:
        if not callable(self.summary):
            raise ArgumentError(
                f"summary must be a function of messages, not {type(self.summary).__name__}"
            )
        check_reserve(self.reserve)

    def fitted(self, turn: Turn) -> list[Message]:
        limit = turn.capacity - reserved(turn, self.reserve)
        if turn.count(turn.messages) <= limit:
            return turn.messages
        short = self.summary([dict(message) for message in turn.messages])
        if not isinstance(short, list) or not short:
            raise ArgumentError(
                f"the summary must be a list of messages, not {type(short).__name__}",
                fix="return those that are to be fed, the newest one included",
            )
        size = turn.count(short)
        if size > limit:
            raise BundleRuntimeError(
                f"the summary has {size} tokens; {limit} of the context's {turn.capacity} are free",
                fix="a shorter summary, or a smaller reserve",
            )
        return short
