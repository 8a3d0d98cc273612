"""The thread that has the model: it answers the requests of the queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.request import seeds
from runtime_py.server.errors import ApiError, gone_wrong
from runtime_py.server.job import Begun, Ended, Job, Piece, Work
from runtime_py.server.log import LOGGER
from runtime_py.server.metrics import Metrics
from runtime_py.server.queue import FairQueue
from runtime_py.server.slots import Slot, Slots

if TYPE_CHECKING:
    from runtime_py.llm import LLM
    from runtime_py.task_bundle import TaskBundle


@dataclass
class _Active:
    """A job that has begun; each of its steps is a piece of an answer."""

    job: Job
    steps: Iterator[None]


class Worker(threading.Thread):
    """
    Jobs that have begun take turns: each is given ``slice`` pieces of text, then the next one. As
    many as there are slots may have begun.

    Args:
        load: loads the bundle.
        ready: called with what ``load`` returns or raises, and with what ends the thread.
        arguments: those of ``Answers.stream`` for a job.
        slots: conversations that are kept warm.
        slice: 0: each job runs to its end. A program that does not give out its state has to be
            fed a text again for each turn, so there jobs run to their end, too.
    """

    def __init__(
        self,
        load: Callable[[], LLM | TaskBundle],
        ready: Callable[[LLM | TaskBundle | BaseException], object],
        queue: FairQueue[Job],
        metrics: Metrics,
        arguments: Callable[[Job], dict[str, Any]],
        slots: int,
        slice: int,
    ) -> None:
        super().__init__(name="answers", daemon=True)
        self._load, self._ready, self._queue, self._metrics = load, ready, queue, metrics
        self._arguments, self._count, self._slice = arguments, slots, slice
        self._active: deque[_Active] = deque()

    @property
    def running(self) -> list[Job]:
        """Those that have begun."""
        return [each.job for each in list(self._active)]

    def run(self) -> None:
        try:
            model = self._load()
        except BaseException as error:
            self._ready(error)
            return
        steps = self._steps_of(model)
        self._ready(model)
        with model:
            try:
                while self._admit(steps):
                    self._turn()
            except BaseException as error:  # such as too little memory
                for active in self._active:
                    active.job.put(gone_wrong(error))
                self._ready(error)

    def _steps_of(self, model: LLM | TaskBundle) -> Callable[[Any], Iterator[None]]:
        """What does a job with the model, step by step."""
        from runtime_py.llm import LLM

        if not isinstance(model, LLM):
            self._slice = int(model.takes_turns)

            def work(job: Work) -> Iterator[None]:
                job.put(Begun())
                yield from job.steps(model)

            return work
        slots = Slots(model, self._count)
        if not model.engine.gives_state:
            self._slice = 0
        return lambda job: self._steps(slots, job)

    def _admit(self, steps: Callable[[Any], Iterator[None]]) -> bool:
        """Begin with jobs that wait; whether there is anything to do."""
        most = self._count if self._slice else 1
        while len(self._active) < most:
            job = self._queue.take(wait=not self._active)
            if job is None:
                break
            if not job.cancelled:
                self._active.append(_Active(job, steps(job)))
        return bool(self._active)

    def _turn(self) -> None:
        """Let the first go on for a slice; it is the last then."""
        active = self._active[0]
        done = 0
        try:
            while not self._slice or done < self._slice:
                next(active.steps)
                done += 1
            self._active.rotate(-1)
            return
        except StopIteration:
            active.job.put(None)
        except Exception as error:
            if not isinstance(error, BundleRuntimeError | ApiError):
                LOGGER.error("unexpected %s", type(error).__name__, exc_info=error)
            active.job.put(gone_wrong(error))
        self._active.popleft()

    def _steps(self, slots: Slots, job: Job) -> Generator[None, None, None]:
        """Answer a job piece by piece."""
        job.put(Begun())
        ask = job.ask
        for number, (prompt, ids) in enumerate(zip(ask.prompts, job.ids, strict=True)):
            if job.cancelled:
                return
            slot = slots.take(ids)
            try:
                if ask.score is not None:
                    job.scores[number] = slot.score(ids, top=ask.score)
                for each, seed in enumerate(seeds(ask.seed, ask.n) if ask.n else ()):
                    if job.cancelled:
                        return
                    yield from self._answer(slot, job, prompt, seed, number * ask.n + each)
            finally:
                slots.give_back(slot)

    def _answer(
        self, slot: Slot, job: Job, prompt: Any, seed: int | None, index: int
    ) -> Generator[None, None, None]:
        sent = 0
        with slot.stream(prompt, seed=seed, **self._arguments(job)) as stream:
            job.on_cancel(stream.cancel)
            for delta in stream.deltas():
                fresh = stream.result.logprobs[sent:]
                sent += len(fresh)
                job.put(Piece(index, delta.kind, delta.text, delta.call, fresh))
                yield
            answer = stream.result
        self._metrics.answered(answer)
        if answer.finish != "cancelled":
            job.put(Ended(index, answer, answer.logprobs[sent:]))
