"""A request on its way through the queue, and what comes back of it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime_py.server.errors import timed_out

if TYPE_CHECKING:
    from runtime_py.sampling.logprobs import TokenLogprob
    from runtime_py.stats import Generation


@dataclass(frozen=True)
class Ask:
    """What a request asks of the model.

    Attributes:
        prompts: each a list of messages, a text, or token ids.
        arguments: those of ``Answers.stream``, but the seed.
        variables: of the chat template.
        score: number of most likely tokens that are given with the log-probability of each token of
            the prompts; None: those of the prompts are not asked for.
        n: answers to each prompt; 0: none.
        seed: of the first answer of each prompt.
    """

    prompts: tuple[Any, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    n: int = 1
    seed: int | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    score: int | None = None


@dataclass(frozen=True)
class Begun:
    """The model begins with the request."""


@dataclass(frozen=True)
class Piece:
    """A part of the answer with the number ``index``.

    Attributes:
        kind: text, reasoning or tool_call.
        text: as OpenAI's ``delta`` has it.
        call: if the kind is tool_call.
        logprobs: of the tokens since the last piece, if the request asks for them.
    """

    index: int
    kind: str
    text: str = ""
    call: Any = None
    logprobs: Sequence[TokenLogprob] = ()


@dataclass(frozen=True)
class Ended:
    """The answer with the number ``index`` is complete.

    Attributes:
        logprobs: of the tokens since the last piece.
    """

    index: int
    answer: Generation
    logprobs: Sequence[TokenLogprob] = ()


class Gone(Exception):
    """The client has left."""


Event = Begun | Piece | Ended


class Job:
    """A request for answers: written by the worker's thread, read by the event loop that has made
    it."""

    def __init__(self, ask: Ask, ids: Sequence[list[int]], seconds: float) -> None:
        self.id = secrets.token_hex(12)
        self.ask, self.ids, self.seconds = ask, ids, seconds
        self.created = time.time()
        self.arrived = time.monotonic()
        self.begun: float | None = None
        self.first_token: float | None = None
        self.answers: dict[int, Generation] = {}
        self.scores: dict[int, list[TokenLogprob]] = {}
        self._cancelled = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | Exception | None] = asyncio.Queue()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Nobody waits for the answer any longer. Any thread may call it."""
        self._cancelled.set()
        self._stop()

    def on_cancel(self, stop: Callable[[], object]) -> None:
        """What ends the answer that is being generated from now on."""
        self._stop = stop
        if self.cancelled:
            stop()

    def put(self, event: Event | Exception | None) -> None:
        """Tell the reader, from any thread; None is the end."""
        if isinstance(event, Begun):
            self.begun = time.monotonic()
        if isinstance(event, Piece) and self.first_token is None:
            self.first_token = time.monotonic()
        if isinstance(event, Ended):
            self.answers[event.index] = event.answer
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self, pause: float | None = None) -> Event | None:
        """The next event; None at the end.

        Args:
            pause: seconds to wait for it at most.

        Raises:
            TimeoutError: of ``pause``.
            ApiError: the answer has failed, or the deadline has passed. Gone: the client has.
        """
        left = self.arrived + self.seconds - time.monotonic()
        wait = left if pause is None else min(left, pause)
        try:
            event = await asyncio.wait_for(self._events.get(), max(wait, 0.0))
        except asyncio.TimeoutError:
            if wait < left:
                raise TimeoutError from None
            raise timed_out(self.seconds) from None
        if isinstance(event, Exception):
            raise event
        return event

    async def events(self) -> AsyncIterator[Event]:
        """Until the end.

        Raises:
            ApiError, Gone: as ``next``.
        """
        while (event := await self.next()) is not None:
            yield event


class Work(Job):
    """A request of a bundle that does not generate text.

    Attributes:
        tokens: that the model has read for it.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(Ask(()), (), seconds)
        self.tokens = 0

    def steps(self, model: Any) -> Iterator[None]:
        """Do it, in the worker's thread; other requests may take their turn between two steps."""
        raise NotImplementedError
