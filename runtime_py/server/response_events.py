"""The events of a streamed response of OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from runtime_py.server import response_items as items
from runtime_py.server.errors import ApiError
from runtime_py.server.job import Begun, Ended, Event, Piece
from runtime_py.server.sse import Chunk


class Events:
    """
    Args:
        response: the response object with a status, an output, and the answer if it is complete.
        logprobs: as the API writes them.
        ended: called with the complete response.
    """

    def __init__(
        self,
        response: Callable[..., dict[str, Any]],
        logprobs: Callable[[Any], list[Any]],
        ended: Callable[[dict[str, Any]], object],
    ) -> None:
        self._response, self._logprobs, self._ended = response, logprobs, ended
        self._number, self._output = 0, list[dict[str, Any]]()
        self._kind, self._id, self._text = "", "", ""
        self._found: list[Any] = []

    def __call__(self, event: Event | None) -> Iterator[Chunk]:
        if isinstance(event, Begun):
            made = self._response("in_progress", [])
            yield self._event("response.created", response=made)
            yield self._event("response.in_progress", response=made)
        elif isinstance(event, Piece):
            if event.call is not None:
                yield from self._close()
                yield from self._call(event.call)
            else:
                yield from self._piece(event)
        elif isinstance(event, Ended):
            cut = event.answer.finish in ("length", "context")
            if not self._output and not self._kind:
                yield from self._open("text")
            yield from self._close("incomplete" if cut else "completed")
            made = self._response("incomplete" if cut else "completed", self._output, event.answer)
            self._ended(made)
            yield self._event(f"response.{made['status']}", response=made)

    def failed(self, error: ApiError) -> Chunk:
        made = self._response("failed", self._output)
        made["error"] = {"code": error.code or "server_error", "message": error.message}
        return self._event("response.failed", response=made)

    def _event(self, kind: str, /, **given: Any) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._number, **given}
        self._number += 1
        return event

    def _part(self, kind: str, /, **given: Any) -> dict[str, Any]:
        """An event of the part that is open."""
        return self._event(
            kind, item_id=self._id, output_index=len(self._output), content_index=0, **given
        )

    def _piece(self, piece: Piece) -> Iterator[Chunk]:
        if piece.kind != self._kind:
            yield from self._close()
            yield from self._open(piece.kind)
        self._text += piece.text
        if piece.kind == "reasoning":
            yield self._part("response.reasoning_text.delta", delta=piece.text)
            return
        found = self._logprobs(piece.logprobs)
        self._found += found
        yield self._part("response.output_text.delta", delta=piece.text, logprobs=found)

    def _item(self, status: str) -> dict[str, Any]:
        if self._kind == "reasoning":
            return items.reasoning_item(self._text, status, self._id)
        return items.message_item(self._text, self._found, status, self._id)

    def _content(self) -> dict[str, Any]:
        if self._kind == "reasoning":
            return {"type": "reasoning_text", "text": self._text}
        return items.text_part(self._text, self._found)

    def _open(self, kind: str) -> Iterator[Chunk]:
        self._kind, self._text, self._found = kind, "", []
        self._id = items.own_id("rs" if kind == "reasoning" else "msg")
        yield self._event(
            "response.output_item.added", output_index=len(self._output),
            item=self._item("in_progress"),
        )  # fmt: skip
        yield self._part("response.content_part.added", part=self._content())

    def _close(self, status: str = "completed") -> Iterator[Chunk]:
        if not self._kind:
            return
        if self._kind == "reasoning":
            yield self._part("response.reasoning_text.done", text=self._text)
        else:
            yield self._part("response.output_text.done", text=self._text, logprobs=self._found)
        yield self._part("response.content_part.done", part=self._content())
        yield from self._done(self._item(status))
        self._kind = ""

    def _call(self, call: Any) -> Iterator[Chunk]:
        self._id = items.own_id("fc")
        place = {"item_id": self._id, "output_index": len(self._output)}
        yield self._event(
            "response.output_item.added", output_index=len(self._output),
            item=items.call_item(call, "in_progress", self._id),
        )  # fmt: skip
        done = items.call_item(call, "completed", self._id)
        said = done["arguments"]
        yield self._event("response.function_call_arguments.delta", **place, delta=said)
        yield self._event(
            "response.function_call_arguments.done", **place, name=done["name"], arguments=said
        )
        yield from self._done(done)

    def _done(self, item: dict[str, Any]) -> Iterator[Chunk]:
        yield self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
