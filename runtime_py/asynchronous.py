"""Generate without blocking an event loop."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from runtime_py.chat_template import Message
from runtime_py.delta import Delta
from runtime_py.prompts import Messages, Prompt
from runtime_py.stats import Generation
from runtime_py.stream import Stream

T = TypeVar("T")


class AsyncStream(AsyncIterator[str]):
    """Iterates over pieces of text; ``deltas`` also gives reasoning and calls of tools. The next
    token is computed when the next piece is asked for, in a thread of its own. Read it to its end,
    or use it in an ``async with`` block: until then the LLM answers nothing else. Cancelling a task
    that waits for it cancels the answer.
    """

    def __init__(self, make: Callable[[], Stream]) -> None:
        self._make = make
        self._stream: Stream | None = None
        self._stopped, self._ended = threading.Event(), False
        self._worker = ThreadPoolExecutor(1, "answer")

    @property
    def result(self) -> Generation:
        """The answer so far; its ``finish`` is empty until the end."""
        return self._stream.result if self._stream else Generation()

    async def __anext__(self) -> str:
        while (delta := await self._next()) is not None:
            if delta.kind == "text":
                return delta.text
        raise StopAsyncIteration

    async def deltas(self) -> AsyncIterator[Delta]:
        """What is left of the answer, with its reasoning and calls of tools."""
        while (delta := await self._next()) is not None:
            yield delta

    async def read(self) -> Generation:
        """Read it to its end, and return the whole answer."""
        if not self._ended:
            await self._run(lambda: self._opened().read())
            self._end()
        return self.result

    def cancel(self) -> None:
        """End the answer after the token that is being computed; ``finish`` is then cancelled."""
        self._stopped.set()
        if self._stream is not None:
            self._stream.cancel()

    async def aclose(self) -> None:
        """End the answer here."""
        self.cancel()
        self._close()
        await asyncio.to_thread(self._worker.shutdown)

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def _next(self) -> Delta | None:
        if self._ended:
            return None
        delta = await self._run(lambda: next(self._opened().deltas(), None))
        if delta is None:
            self._end()
        return delta

    def _end(self) -> None:
        self._ended = True
        self._worker.shutdown(wait=False)

    async def _run(self, step: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, step)
        except asyncio.CancelledError:
            self.cancel()
            self._close()
            raise

    def _opened(self) -> Stream:
        if self._stream is None:
            self._stream = self._make()
            if self._stopped.is_set():
                self._stream.cancel()
        return self._stream

    def _close(self) -> None:
        """Let the worker end the stream when it has computed its token."""
        if not self._ended:
            self._worker.submit(self._close_stream)
            self._end()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Asynchronous(ABC):
    """``generate``, ``chat`` and ``stream`` for event loops, by ``stream``."""

    @abstractmethod
    def stream(self, prompt: Prompt | Sequence[Message], **settings: Any) -> Stream:
        """Iterate over the pieces of an answer."""

    def astream(self, prompt: Prompt | Sequence[Message], **settings: Any) -> AsyncStream:
        """``stream`` for ``async for``. Errors are raised when the first piece is asked for."""
        return AsyncStream(lambda: self.stream(prompt, **settings))

    async def agenerate(self, prompt: Prompt, **settings: Any) -> Generation:
        """``generate``, except for ``on_text``."""
        async with self.astream(prompt, **settings) as stream:
            return await stream.read()

    async def achat(self, messages: Messages, **settings: Any) -> Generation:
        """``chat``, except for ``on_text``."""
        asked = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        async with self.astream(asked, **settings) as stream:
            return await stream.read()
