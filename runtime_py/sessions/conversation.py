"""A conversation on one KV cache: each turn feeds what is new, and makes room if it must."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from runtime_py.chat_template import Message
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.prompts import Documents, Messages
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
    """One turn, as the caller said it."""

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
        request = self._request(asked, sampling=sampling, stop=stop, seed=seed, on_text=on_text)
        with self._send(asked, request) as stream:
            for piece in stream:
                if on_text is not None:
                    on_text(piece)
        return stream.result

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
        request = self._request(asked, sampling=sampling, stop=stop, seed=seed)
        return self._send(asked, request)

    def prefill_next_turn(self) -> int:
        """``prefill_chat`` of the conversation, with the tools and variables of its last turn."""
        asked = self._asked or Asked("", None, None, None, {})
        return self.prefill_chat(
            self.messages, tools=asked.tools, documents=asked.documents,
            enable_thinking=asked.enable_thinking, **asked.settings,
        )  # fmt: skip

    def _request(self, asked: Asked, **said: Any) -> Request:
        settings = self._rendered(asked, self._with(asked.message))[1]
        return checked_request(self.defaults, settings, **said)

    def _rendered(
        self, asked: Asked, messages: Sequence[Message]
    ) -> tuple[list[int], dict[str, Any]]:
        return self._prompts.rendered(
            messages, asked.tools, asked.documents, asked.enable_thinking, dict(asked.settings)
        )

    def _with(self, message: str | Message) -> list[Message]:
        return [*self.messages, *checked_messages(message)]

    def _send(self, asked: Asked, request: Request) -> Stream:
        plan = self._plan(asked, request)
        request.controls.check_vocabulary(self._prompts.bundle.manifest["program"]["vocab_size"])
        result = Generation()
        return Stream(self._turn(asked, request, plan, result), result, self._lock)

    def _plan(self, asked: Asked, request: Request) -> Plan:
        before, messages = list(self.messages), self._with(asked.message)
        turn = Turn(
            messages, lambda some: len(self._rendered(asked, some)[0]),
            self._cache.program.context_length, request.sampling.max_new_tokens,
        )  # fmt: skip
        messages = self.overflow.fitted(turn)
        ids = self._rendered(asked, messages)[0]
        super()._with_room(ids)
        return Plan(before, messages, ids)

    def _turn(
        self, asked: Asked, request: Request, plan: Plan, result: Generation
    ) -> Generator[str, None, None]:
        """Answer, and add to the messages. Another thread may have done so in the meantime."""
        while True:
            with self._lock:
                if self.messages == plan.before:
                    yield from self._answered(asked, plan, request, result)
                    return
            plan = self._plan(asked, request)

    def _answered(
        self, asked: Asked, plan: Plan, request: Request, result: Generation
    ) -> Generator[str, None, None]:
        self._asked, whole = asked, False
        try:
            yield from self._decoded(plan.ids, result, request)
            whole = True
        except GeneratorExit:
            whole = bool(result.tokens)
            raise
        finally:
            if whole:
                self.messages[:] = [*plan.messages, _reply(result)]

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
        head = self.messages[: behind_system(self.messages)]
        asked = self._asked or Asked("", None, None, None, {})
        try:
            # What two conversations have in common that differ from the first question on.
            one, other = (
                self._rendered(asked, [*head, {"role": "user", "content": word}])[0]
                for word in ("1", "A")
            )
        except BundleRuntimeError:
            return count
        return max(count, common_length(ids, one[: common_length(one, other)]))


def checked_messages(messages: Messages | Message) -> list[Message]:
    """A list of the caller's messages, copied; a text is one of the user.

    Raises:
        ArgumentError: it is neither.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if isinstance(messages, Mapping):
        messages = [messages]
    if not isinstance(messages, Sequence) or isinstance(messages, bytes):
        raise ArgumentError(
            f"messages must be a list of messages, not {type(messages).__name__}",
            fix='[{"role": "user", "content": "..."}]',
        )
    for message in messages:
        if not isinstance(message, Mapping):
            raise ArgumentError(f"a message must be a dict, not {type(message).__name__}")
    return [copy.deepcopy(dict(message)) for message in messages]


def _reply(result: Generation) -> Message:
    message: Message = {"role": "assistant", "content": result.text}
    return message
