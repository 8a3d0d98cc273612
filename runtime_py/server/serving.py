"""One loaded bundle, and the requests that wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runtime_py.bundle_task import EMBED, TRANSCRIBE, task_name
from runtime_py.errors import BundleRuntimeError
from runtime_py.message_parts import has_images
from runtime_py.request import is_messages, seeds
from runtime_py.server.errors import (
    loading,
    queue_full,
    refused,
    stopping,
    unsupported,
    wrong,
)
from runtime_py.server.job import Ask, Job
from runtime_py.server.metrics import Metrics
from runtime_py.server.queue import FairQueue, Full
from runtime_py.server.response_memory import Memory
from runtime_py.server.settings import Settings
from runtime_py.server.words import TokenTexts
from runtime_py.server.worker import Worker

if TYPE_CHECKING:
    from runtime_py.bundle import Bundle
    from runtime_py.embedding import Embedder
    from runtime_py.llm import LLM
    from runtime_py.speech.transcriber import Transcriber
    from runtime_py.task_bundle import TaskBundle

SERVED = {
    EMBED: ("embeds texts", "/v1/embeddings"),
    TRANSCRIBE: ("transcribes speech", "/v1/audio/transcriptions"),
}
"""Task of bundles that do not chat -> what they do, and the route for it."""


class Serving:
    """
    Args:
        load: loads the bundle; called in the worker's thread, since the server says meanwhile that
            it is loading.
        failed: called in that thread with what ``load`` raises.

    Attributes:
        state: loading, ok or stopping; what ``/health`` says.
        responses: those that others may go on from.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], LLM | TaskBundle],
        failed: Callable[[BaseException], object] = lambda error: None,
    ) -> None:
        self.settings = settings
        self.state = "loading"
        self.responses = Memory()
        self.metrics = Metrics(self)
        self.queue: FairQueue[Job] = FairQueue(settings.max_queue)
        self._failed, self._loaded = failed, threading.Event()
        self._model: LLM | TaskBundle | None = None
        self._worker = Worker(
            load, self._ready, self.queue, self.metrics, lambda job: self._arguments(job.ask),
            settings.slots, settings.slice,
        )  # fmt: skip

    def start(self) -> None:
        """Load the bundle, and answer from then on."""
        self._worker.start()

    def wait(self) -> None:
        """Return when it is loaded, or when that has failed."""
        self._loaded.wait()

    def _ready(self, found: LLM | TaskBundle | BaseException) -> None:
        if isinstance(found, BaseException):
            self._failed(found)
        else:
            self._model = found
            if self.state == "loading":
                self.state = "ok"
        self._loaded.set()

    @property
    def running(self) -> list[Job]:
        """The requests that are being answered."""
        return self._worker.running

    def ready(self) -> None:
        """
        Raises:
            ApiError: the bundle is not loaded yet, or the server is stopping.
        """
        if self.state == "stopping":
            raise stopping()
        if self._model is None:
            raise loading()

    @property
    def model(self) -> LLM | TaskBundle:
        """
        Raises:
            ApiError: it is not loaded yet.
        """
        if self._model is None:
            raise loading()
        return self._model

    @property
    def llm(self) -> LLM:
        """
        Raises:
            ApiError: it is not loaded yet, or does not generate text.
        """
        from runtime_py.llm import LLM

        if not isinstance(self.model, LLM):
            does, route = SERVED[task_name(self.bundle)]
            raise unsupported(
                f"the model '{self.model_name}' {does} and generates no text: use {route}, or "
                "serve a bundle of a language model"
            )
        return self.model

    @property
    def transcriber(self) -> Transcriber:
        """
        Raises:
            ApiError: it is not loaded yet, or does not transcribe.
        """
        from runtime_py.speech.transcriber import Transcriber

        if not isinstance(self.model, Transcriber):
            raise unsupported(
                f"the model '{self.model_name}' does not transcribe speech: serve a bundle of "
                "the task transcribe"
            )
        return self.model

    @property
    def embedder(self) -> Embedder:
        """
        Raises:
            ApiError: it is not loaded yet, or does not embed.
        """
        from runtime_py.embedding import Embedder

        if not isinstance(self.model, Embedder):
            raise unsupported(
                f"the model '{self.model_name}' does not embed: its program returns logits, and no "
                "hidden states; serve a bundle of an embedding model"
            )
        return self.model

    @property
    def bundle(self) -> Bundle:
        """
        Raises:
            ApiError: it is not loaded yet.
        """
        return self.model.bundle

    @property
    def model_name(self) -> str:
        """What clients call the model."""
        return self.settings.model_name or str(self.bundle.manifest["name"])

    @cached_property
    def fingerprint(self) -> str:
        """Differs between programs."""
        bundle = self.bundle
        return f"fp_{(bundle.digest(bundle.file('program')) or '')[:12]}"

    @cached_property
    def template_variables(self) -> frozenset[str]:
        """Those that the chat template reads; none in a base model."""
        template = self.llm.template
        return frozenset() if template is None else template.variables

    @cached_property
    def token_texts(self) -> TokenTexts:
        """The bytes of the model's tokens."""
        return TokenTexts(*self.llm.tokenizer.written())

    def check_room(self) -> None:
        """
        Raises:
            ApiError: the queue is full.
        """
        if len(self.queue) >= self.settings.max_queue:
            raise queue_full(self.settings.max_queue)

    async def submit(self, ask: Ask, client: str) -> Job:
        """Check what is asked, and put it into the queue.

        Raises:
            ApiError: it is wrong, does not fit the context, or the queue is full.
        """
        self.ready()
        ids = await asyncio.to_thread(self._checked, ask)
        self.ready()
        job = Job(ask, ids, self.settings.timeout)
        self.enqueue(job, client)
        return job

    def enqueue(self, job: Job, client: str) -> None:
        """Put a job into the queue.

        Raises:
            ApiError: the queue is full.
        """
        try:
            self.queue.put(client, job)
        except Full:
            raise queue_full(self.settings.max_queue) from None

    def leave(self, job: Job) -> None:
        """Nobody reads the job any longer."""
        job.cancel()
        self.queue.remove(job)

    def stop(self) -> None:
        """Refuse what comes from now on and what waits; go on with what runs."""
        self.state = "stopping"
        for job in self.queue.drain():
            job.put(stopping())

    def cancel_running(self) -> None:
        """End the answers that run where they are."""
        for job in self.running:
            job.put(stopping())
            job.cancel()

    def close(self) -> None:
        """Stop, end the thread and release the bundle's memory."""
        self.stop()
        self.cancel_running()
        self.queue.close()
        if self._worker.is_alive():
            self._worker.join()

    def _checked(self, ask: Ask) -> list[list[int]]:
        """The token ids of each prompt."""
        try:
            seeds(ask.seed, max(ask.n, 1))
            return [self._checked_prompt(ask, prompt) for prompt in ask.prompts]
        except BundleRuntimeError as error:
            raise refused(error, _named(error, ask)) from None

    def _checked_prompt(self, ask: Ask, prompt: Any) -> list[int]:
        llm, given = self.llm, self._arguments(ask)
        chat = is_messages(prompt)
        if chat and llm.template is None:
            raise wrong(
                "the model has no chat template: it is a base model; use /v1/completions",
                "messages", "no_chat_template",
            )  # fmt: skip
        if chat and has_images(prompt) and not llm.sees:
            raise wrong(
                "the model reads text only: its bundle has no vision encoder", "messages",
                "unsupported_content",
            )  # fmt: skip
        most = llm.engine.context_length
        size = _characters(prompt)
        if size > 4 * most * self.token_texts.longest and not llm.engine.attention_sink:
            # To encode megabytes would take seconds.
            raise wrong(
                f"the model's context has {most} tokens; the prompt has {size} characters, which "
                "are more than these can hold",
                "messages" if chat else "prompt", "context_length_exceeded",
            )  # fmt: skip
        ids = llm.prompt_ids(prompt, **{n: v for n, v in given.items() if n != "stop"})
        if len(ids) >= most and not llm.engine.attention_sink:
            raise wrong(
                f"the model's context has {most} tokens; the prompt has {len(ids)}, which leaves "
                "no room for an answer",
                "messages" if chat else "prompt", "context_length_exceeded",
            )  # fmt: skip
        # Nothing is generated before the first piece is asked for.
        llm.stream(prompt, seed=ask.seed, **given).close()
        return ids

    def _arguments(self, ask: Ask) -> dict[str, Any]:
        """Those of ``Answers.stream``."""
        most = self.settings.max_tokens or self.llm.engine.context_length
        asked = ask.arguments.get("max_new_tokens")
        given = {**ask.arguments, "max_new_tokens": min(asked or most, most)}
        return {**given, **ask.variables}


def _characters(prompt: Any) -> int:
    """Of a text, or of the contents of messages."""
    if isinstance(prompt, str):
        return len(prompt)
    count = 0
    for message in prompt:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else [{"text": content}]:
            text = part.get("text") if isinstance(part, dict) else None
            count += len(text) if isinstance(text, str) else 0
    return count


def _named(error: BundleRuntimeError, ask: Ask) -> str | None:
    """The parameter that an error names."""
    known = {*ask.arguments, "seed", "n", "messages", "tools"}
    word = error.what.split(maxsplit=1)[0].strip("':,") if error.what else ""
    return next((name for name in (error.where, word) if name in known), None)
