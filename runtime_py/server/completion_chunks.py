"""What chat completions and completions write alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from runtime_py.server.job import Begun, Ended, Event, Job, Piece
from runtime_py.server.serving import Serving
from runtime_py.server.sse import Chunk
from runtime_py.server.words import timings, usage


def head(serving: Serving, job: Job, prefix: str, kind: str) -> dict[str, Any]:
    """The fields with which every object begins.

    Args:
        prefix: of the id.
    """
    return {
        "id": f"{prefix}-{job.id}",
        "object": kind,
        "created": int(job.created),
        "model": serving.model_name,
        "system_fingerprint": serving.fingerprint,
    }


class Chunks(ABC):
    """The chunks of a stream for each event.

    Args:
        head: of each chunk.
        include_usage: whether the last chunk has the tokens of all answers.
    """

    def __init__(self, head: dict[str, Any], job: Job, include_usage: bool) -> None:
        self._head = {**head, "usage": None} if include_usage else head
        self._job, self._include_usage = job, include_usage

    def __call__(self, event: Event | None) -> Iterator[Chunk]:
        if event is None:
            if self._include_usage:
                yield {**self._head, "choices": [], "usage": usage(self._job)}
            yield "[DONE]"
        elif isinstance(event, Begun):
            yield from map(self._chunk, self.begun())
        elif isinstance(event, Piece):
            yield self._chunk(self.piece(event))
        elif isinstance(event, Ended):
            yield {**self._chunk(self.ended(event)), "timings": timings(event.answer.stats)}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head, "choices": [choice]}

    def begun(self) -> Iterator[dict[str, Any]]:
        """The choices before any text."""
        return iter(())

    @abstractmethod
    def piece(self, piece: Piece) -> dict[str, Any]:
        """The choice with a part of an answer."""

    @abstractmethod
    def ended(self, ended: Ended) -> dict[str, Any]:
        """The choice with the end of an answer."""
