"""What a session does when a turn would not fit the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from runtime_py.chat_template import Message
from runtime_py.engines.engine import Engine
from runtime_py.errors import BundleRuntimeError, check_whole

SYSTEM = ("system", "developer")
"""Roles of the messages at the beginning that say how to answer."""


class Turn(NamedTuple):
    """A conversation, up to the message that is to be answered.

    Attributes:
        count: tokens of the prompt of a conversation.
        capacity: tokens that fit the context, prompt and answer.
        answer: most tokens that the answer may have (max_new_tokens).
    """

    messages: list[Message]
    count: Callable[[Sequence[Message]], int]
    capacity: int
    answer: int


class Overflow:
    """A policy. This one changes nothing: what does not fit is refused."""

    name: ClassVar[str]
    endless: ClassVar[bool] = False
    """Whether a text goes on behind the end of the context."""

    def check(self, program: Engine) -> None:
        """
        Raises:
            BundleRuntimeError: the program was not exported for this policy.
        """

    def fitted(self, turn: Turn) -> list[Message]:
        """The messages that are fed, at the beginning of a turn."""
        return turn.messages

    def shortened(self, ids: list[int], capacity: int, first: int) -> list[int]:
        """The tokens of a text over the whole context that are kept; of an ``endless`` policy.

        Args:
            first: tokens at the beginning that belong to the system messages, or BOS.
        """
        return ids


def reserved(turn: Turn, reserve: int | None) -> int:
    """Tokens of the context that are kept for the answer: ``reserve``, or the longest answer, but
    at most a quarter of the context."""
    return min(turn.answer, turn.capacity // 4) if reserve is None else reserve


def check_reserve(reserve: int | None) -> None:
    """Raises ArgumentError if it is neither None nor a number of tokens."""
    if reserve is not None:
        check_whole("reserve", reserve, 1)


def refuse_sink(name: str, program: Engine) -> None:
    """Raises BundleRuntimeError if the program forgets the oldest tokens by itself."""
    if program.attention_sink:
        raise BundleRuntimeError(
            f"overflow={name!r} has no effect on a program with an attention sink",
            where=str(program.path), fix="overflow=None, or export with runtime.kv_cache=static",
        )  # fmt: skip


def behind_system(messages: Sequence[Message]) -> int:
    """Number of messages at the beginning with a role of ``SYSTEM``."""
    count = 0
    while count < len(messages) and messages[count].get("role") in SYSTEM:
        count += 1
    return count
