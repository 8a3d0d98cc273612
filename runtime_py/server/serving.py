"""One loaded bundle, the requests that wait for it, and the thread that answers them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.request import seeds
from runtime_py.server.errors import gone_wrong, loading, queue_full, refused, stopping, wrong
from runtime_py.server.job import Ask, Begun, Ended, Job, Piece
from runtime_py.server.metrics import Metrics
from runtime_py.server.queue import FairQueue, Full
from runtime_py.server.settings import Settings
from runtime_py.server.slots import Slots
from runtime_py.server.words import TokenTexts

if TYPE_CHECKING:
    from runtime_py.answers import Answers
    from runtime_py.llm import LLM


class Serving:
    """
    Args:
        load: loads the bundle; called in the worker's thread, since the server says meanwhile that
            it is loading.
        failed: called in that thread with what ``load`` raises.

    Attributes:
        state: loading, ok or stopping; what ``/health`` says.
        running: the job that is being answered.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], LLM],
        failed: Callable[[BaseException], object] = lambda error: None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(self)
        self.queue: FairQueue[Job] = FairQueue(settings.max_queue)
        self.state = "loading"
        self.running: Job | None = None
        self._load, self._failed = load, failed
        self._llm: LLM | None = None
        self._ready = threading.Event()
        self._worker = threading.Thread(target=self._work, name="answers", daemon=True)

    def start(self) -> None:
        """Load the bundle, and answer from then on."""
        self._worker.start()

    def wait(self) -> None:
        """Return when it is loaded, or when that has failed."""
        self._ready.wait()

    @property
    def llm(self) -> LLM:
        """
        Raises:
            ApiError: it is not loaded yet, or the server is stopping.
        """
        if self.state == "stopping":
            raise stopping()
        if self._llm is None:
            raise loading()
        return self._llm

    @property
    def model_name(self) -> str:
        name: str = self.settings.model_name or self.llm.bundle.manifest["name"]
        return name

    @cached_property
    def fingerprint(self) -> str:
        """Differs between programs."""
        bundle = self.llm.bundle
        return f"fp_{(bundle.digest(bundle.file('program')) or '')[:12]}"

    @cached_property
    def token_texts(self) -> TokenTexts:
        """The bytes of the model's tokens."""
        return TokenTexts(*self.llm.tokenizer.written())

    def ready(self) -> None:
        """
        Raises:
            ApiError: it is not loaded yet, or the server is stopping.
        """
        assert self.llm

    async def submit(self, ask: Ask, client: str) -> Job:
        """Check what is asked, and put it into the queue.

        Raises:
            ApiError: it is wrong, does not fit the context, or the queue is full.
        """
        llm = self.llm
        ids = await asyncio.to_thread(self._checked, llm, ask)
        if self.state == "stopping":
            raise stopping()
        job = Job(ask, client, ids, self.settings.timeout)
        try:
            self.queue.put(client, job)
        except Full:
            raise queue_full(self.settings.max_queue) from None
        return job

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
        """End the answer that runs where it is."""
        if (job := self.running) is not None:
            job.put(stopping())
            job.cancel()

    def close(self) -> None:
        """Stop, end the thread and release the bundle's memory."""
        self.stop()
        self.cancel_running()
        self.queue.close()
        if self._worker.is_alive():
            self._worker.join()

    def _checked(self, llm: LLM, ask: Ask) -> list[list[int]]:
        """The token ids of each prompt."""
        return [self._checked_prompt(llm, ask, prompt) for prompt in ask.prompts]

    def _checked_prompt(self, llm: LLM, ask: Ask, prompt: Any) -> list[int]:
        known = {name: ask.arguments[name] for name in _OF_PROMPT if name in ask.arguments}
        try:
            ids = llm.prompt_ids(prompt, **known, **ask.arguments.get("variables", {}))
            most = llm.program.context_length
            if len(ids) >= most and not llm.program.attention_sink:
                raise wrong(
                    f"the model's context has {most} tokens; the prompt has {len(ids)}, which "
                    "leaves no room for an answer",
                    _prompt_name(prompt), "context_length_exceeded",
                )  # fmt: skip
            seeds(ask.seed, ask.n)
            llm.stream(prompt, seed=ask.seed, **self.arguments(llm, ask)).close()
        except BundleRuntimeError as error:
            raise refused(error, _named(error, ask)) from None
        return ids

    def arguments(self, llm: LLM, ask: Ask) -> dict[str, Any]:
        """Those of ``Answers.stream``."""
        given = {name: value for name, value in ask.arguments.items() if name != "variables"}
        most = self.settings.max_tokens or llm.program.context_length
        given["max_new_tokens"] = min(given.get("max_new_tokens") or most, most)
        return {**given, **ask.arguments.get("variables", {})}

    def _work(self) -> None:
        try:
            self._llm = self._load()
        except BaseException as error:
            self._failed(error)
            return
        finally:
            self._ready.set()
        self.state = "ok" if self.state == "loading" else self.state
        slots = Slots(self._llm, self.settings.slots)
        with self._llm:
            while (job := self.queue.take()) is not None:
                self._answer_job(slots, job)

    def _answer_job(self, slots: Slots, job: Job) -> None:
        if job.cancelled:
            return
        self.running = job
        try:
            job.put(Begun())
            for number, (prompt, ids) in enumerate(zip(job.ask.prompts, job.ids, strict=True)):
                for each, seed in enumerate(seeds(job.ask.seed, job.ask.n)):
                    index = number * job.ask.n + each
                    self._answer(slots.best(ids), job, prompt, seed, index)
            job.put(None)
        except Exception as error:
            job.put(gone_wrong(error))
        finally:
            self.running = None

    def _answer(self, place: Answers, job: Job, prompt: Any, seed: int | None, index: int) -> None:
        if job.cancelled:
            return
        given = self.arguments(self.llm_of_worker, job.ask)
        sent = 0
        with place.stream(prompt, seed=seed, **given) as stream:
            for text in stream:
                fresh = stream.result.logprobs[sent:]
                sent += len(fresh)
                job.put(Piece(index, "text", text, logprobs=fresh))
                if job.cancelled:
                    break
            answer = stream.result
        self.metrics.answered(answer)
        if not job.cancelled:
            job.put(Ended(index, answer, answer.logprobs[sent:]))

    @property
    def llm_of_worker(self) -> LLM:
        assert self._llm is not None
        return self._llm


_OF_PROMPT = ("tools", "documents", "enable_thinking")


def _prompt_name(prompt: Any) -> str:
    return "messages" if isinstance(prompt, list) and prompt and isinstance(prompt[0], dict) \
        else "prompt"  # fmt: skip


def _named(error: BundleRuntimeError, ask: Ask) -> str | None:
    """The parameter that an error's text begins with."""
    word = error.what.split(maxsplit=1)[0].strip("':,") if error.what else ""
    return word if word in {*ask.arguments, "seed", "n", "messages", "tools"} else None
