"""A conversation on one KV cache: each turn feeds what is new, and makes room if it must."""

from __future__ import annotations

import copy
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from runtime_py.asynchronous import AsyncStream
from runtime_py.chat_template import Message
from runtime_py.delta import Delta
from runtime_py.errors import ArgumentError, BundleRuntimeError, Cancelled
from runtime_py.message_parts import with_data_urls
from runtime_py.prompts import Documents, Messages, Prompts
from runtime_py.request import OnText, Request, checked_request
from runtime_py.resumable import Resumable
from runtime_py.sampling import Sampling
from runtime_py.sessions.overflow import Overflow, Turn
from runtime_py.sessions.overflow.policy import behind_system
from runtime_py.stats import Generation
from runtime_py.stream import Stream
from runtime_py.token_ids import common_length
from runtime_py.tool_schema import Tool


class Asked(NamedTuple):
    """The arguments of one turn."""

    message: str | Message
    tools: Sequence[Tool] | None
    documents: Documents | None
    enable_thinking: bool | None
    settings: dict[str, Any]


class Plan(NamedTuple):
    """What is fed for a turn.

    Attributes:
        before: the messages that it was made of.
        messages: those that are fed, with the new one.
        ids: tokens of the prompt.
    """

    before: list[Message]
    messages: list[Message]
    ids: list[int]


class Rendered:
    """The prompts of a turn; one of the same messages is not rendered again."""

    def __init__(self, prompts: Prompts, asked: Asked) -> None:
        self.asked, self._prompts = asked, prompts
        self._known: list[tuple[list[Message], tuple[list[int], dict[str, Any]]]] = []

    def __call__(self, messages: Sequence[Message]) -> tuple[list[int], dict[str, Any]]:
        """(token ids, settings of sampling)"""
        for known, found in self._known:
            if known == messages:
                return found
        asked = self.asked
        found = self._prompts.rendered(
            messages, asked.tools, asked.documents, asked.enable_thinking, dict(asked.settings)
        )
        self._known.append((list(messages), found))
        return found


class Conversation(Resumable):
    """
    Attributes:
        messages: the conversation, as dicts.
        overflow: what happens when a turn would not fit.
    """

    messages: list[Message]
    overflow: Overflow
    _asked: Asked | None = None
    """The last turn."""

    def send(
        self,
        message: str | Message,
        *,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        on_text: OnText | None = None,
        **settings: Any,
    ) -> Generation:
        """Say something, and let the model answer. Both are added to ``messages``. Arguments that
        are not listed are those of ``chat``.

        Args:
            message: of the user, or a dict with ``role`` and ``content``, such as of a tool.

        Raises:
            BundleRuntimeError: as ``chat``; ``messages`` is then as before.
        """
        asked = Asked(message, tools, documents, enable_thinking, settings)
        stream = self._send(asked, sampling=sampling, stop=stop, seed=seed, on_text=on_text)
        return self._collect(stream, on_text)

    def send_stream(
        self,
        message: str | Message,
        *,
        tools: Sequence[Tool] | None = None,
        documents: Documents | None = None,
        enable_thinking: bool | None = None,
        sampling: Sampling | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        **settings: Any,
    ) -> Stream:
        """As ``send``, piece by piece. The messages are added when the stream ends; when it is
        closed before its end, the answer is what there is of it.

        Raises:
            BundleRuntimeError: as ``send``.
        """
        asked = Asked(message, tools, documents, enable_thinking, settings)
        return self._send(asked, sampling=sampling, stop=stop, seed=seed)

    def prefill_next_turn(self) -> int:
        """``prefill_chat`` of the conversation, with the tools and variables of its last turn."""
        return self._prefill(self._next_turn(self.messages))

    def asend_stream(self, message: str | Message, **settings: Any) -> AsyncStream:
        """``send_stream`` for ``async for``; errors are raised when a piece is asked for."""
        return AsyncStream(lambda: self.send_stream(message, **settings))

    async def asend(self, message: str | Message, **settings: Any) -> Generation:
        """``send`` without blocking an event loop, except for ``on_text``."""
        async with self.asend_stream(message, **settings) as stream:
            return await stream.read()

    def _send(self, asked: Asked, **said: Any) -> Stream:
        rendered = Rendered(self._prompts, asked)
        settings = rendered(self._with(asked.message))[1]
        request = checked_request(self.defaults, settings, **said)
        self._check(request)
        plan = self._plan(rendered, request)
        result, stopped = Generation(), threading.Event()
        turn = self._turn(rendered, request, plan, result, stopped)
        return Stream(turn, result, self._lock, stopped)

    def _with(self, message: str | Message) -> list[Message]:
        return [*self.messages, *checked_messages(message)]

    def _plan(self, rendered: Rendered, request: Request) -> Plan:
        before, messages = list(self.messages), self._with(rendered.asked.message)
        turn = Turn(
            messages, lambda some: len(rendered(some)[0]),
            self._cache.program.context_length, request.sampling.max_new_tokens,
        )  # fmt: skip
        messages = self.overflow.fitted(turn)
        ids = rendered(messages)[0]
        super()._with_room(ids)
        return Plan(before, messages, ids)

    def _turn(
        self, rendered: Rendered, request: Request, plan: Plan, result: Generation,
        stopped: threading.Event,
    ) -> Generator[Delta, None, None]:  # fmt: skip
        """Answer, and add to the messages. Another thread may have done so in the meantime."""
        while True:
            try:
                with self._lock.unless(stopped):
                    if self.messages == plan.before:
                        self._asked = rendered.asked
                        yield from self._answered(plan, request, result, stopped)
                        return
            except Cancelled:  # while it waited for its turn
                result.finish = "cancelled"
                return
            plan = self._plan(rendered, request)

    def _answered(
        self, plan: Plan, request: Request, result: Generation, stopped: threading.Event
    ) -> Generator[Delta, None, None]:
        failed = False
        try:
            yield from self._decoded(plan.ids, result, request, stopped)
        except Exception:
            failed = True
            raise
        finally:  # also of a stream that is closed
            if result.tokens and not failed:
                self.messages[:] = [*plan.messages, result.message]

    def _with_room(self, ids: list[int]) -> list[int]:
        """Of a raw prompt, what leaves room for an answer."""
        capacity = self._cache.program.context_length
        if self.overflow.endless and len(ids) >= capacity:
            ids = self._shorter(ids)
        return super()._with_room(ids)

    def _within(self, ids: list[int]) -> list[int]:
        """Of a text, what fits the context."""
        program = self._cache.program
        if len(ids) <= program.context_length or program.attention_sink:
            return ids
        if self.overflow.endless:
            return self._shorter(ids)
        raise BundleRuntimeError(
            f"{len(ids)} tokens do not fit the context of {program.context_length}",
            fix='a shorter text, a session with overflow="slide", or export with a larger '
            "runtime.context_length",
        )

    def _shorter(self, ids: list[int]) -> list[int]:
        return self.overflow.shortened(ids, self._cache.program.context_length, self._first(ids))

    def _first(self, ids: list[int]) -> int:
        """Tokens at the beginning of the text that belong to the system messages, or BOS."""
        bos = self._prompts.tokenizer.bos_id
        count = int(bool(ids) and ids[0] == bos)
        try:
            system = self._next_turn(self.messages[: behind_system(self.messages)])
        except BundleRuntimeError:  # a base model, or a template that refuses these messages
            return count
        return max(count, common_length(ids, system))

    def _next_turn(self, messages: Sequence[Message]) -> list[int]:
        """What the prompt of the turn after ``messages`` begins with, with the tools and variables
        of the last turn."""
        asked = self._asked or Asked("", None, None, None, {})
        return self._prompts.next_turn(
            messages, asked.tools, asked.documents, asked.enable_thinking, asked.settings
        )


def checked_messages(messages: Messages | Message) -> list[Message]:
    """A list of the caller's messages, copied; a text is one of the user.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    several: Any = [messages] if isinstance(messages, Mapping) else messages
    if not isinstance(several, Sequence) or isinstance(several, bytes):
        raise ArgumentError(
            f"messages must be a list of messages, not {type(messages).__name__}",
            fix='[{"role": "user", "content": "..."}]',
        )
    for message in several:
        if not isinstance(message, Mapping):
            raise ArgumentError(f"a message must be a dict, not {type(message).__name__}")
    return [copy.deepcopy(with_data_urls(message)) for message in several]
