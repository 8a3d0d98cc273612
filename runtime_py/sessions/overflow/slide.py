"""Drop the oldest messages or tokens, and feed what remains again."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import ClassVar

from runtime_py.chat_template import Message
from runtime_py.engines.engine import Engine
from runtime_py.errors import ArgumentError, check_whole, shown
from runtime_py.sessions.overflow.policy import (
    Overflow,
    Turn,
    behind_system,
    check_reserve,
    refuse_sink,
    reserved,
)


@dataclass(frozen=True)
class Slide(Overflow):
    """A window over the conversation. What is kept is fed again from its beginning, so that the
    state is that of a session which was only ever given the kept text.

    At the beginning of a turn whole messages go, oldest first, up to the next message of the user;
    those with the role system at the beginning and the newest turn always stay. Within an answer,
    and in a text without messages, tokens go.

    Attributes:
        keep_first: tokens at the beginning that stay when tokens go; None: those of the system
            messages, or BOS.
        keep_fraction: part of the context that is filled afterwards, at most. A small one forgets
            more at a time, and feeds less often.
        reserve: tokens that must be free for the answer when a turn begins; None: max_new_tokens,
            but at most a quarter of the context.
    """

    keep_first: int | None = None
    keep_fraction: float = 0.5
    reserve: int | None = None
    name: ClassVar[str] = "slide"
    endless: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.keep_first is not None:
            check_whole("keep_first", self.keep_first, 0)
        check_reserve(self.reserve)
        fraction = self.keep_fraction
        if isinstance(fraction, bool) or not isinstance(fraction, int | float):
            fraction = -1
        if not 0 < fraction < 1:
            raise ArgumentError(
                f"keep_fraction must be between 0 and 1, not {shown(self.keep_fraction)}"
            )

    def check(self, program: Engine) -> None:
        refuse_sink(self.name, program)
        if self.keep_first is not None and self.keep_first >= program.context_length - 1:
            raise ArgumentError(
                f"keep_first={self.keep_first} leaves no room in the context of "
                f"{program.context_length}"
            )

    def fitted(self, turn: Turn) -> list[Message]:
        messages, limit = turn.messages, turn.capacity - reserved(turn, self.reserve)
        if turn.count(messages) <= limit:
            return messages
        head = behind_system(messages)
        users = [i for i in range(head, len(messages)) if messages[i].get("role") == "user"]
        kept = [messages[:head] + messages[start:] for start in users if start > head]
        if not kept:
            return messages
        room = min(limit, int(turn.capacity * self.keep_fraction))
        found = bisect_left(kept, -room, key=lambda some: -turn.count(some))
        return kept[min(found, len(kept) - 1)]

    def shortened(self, ids: list[int], capacity: int, first: int) -> list[int]:
        head = min(first if self.keep_first is None else self.keep_first, capacity - 2)
        room = int(capacity * self.keep_fraction)
        if head >= room:
            room = head + (capacity - head) // 2
        return ids[:head] + ids[max(head, len(ids) - (room - head)) :]
