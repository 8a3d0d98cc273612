"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime_py.server.asking import (
    template_variables,
    with_format,
    with_thinking,
    with_tools,
)
from runtime_py.server.bodies import Completed, arguments, read
from runtime_py.server.errors import wrong
from runtime_py.server.handling import check_model, collected, noted, serving_of, submitted
from runtime_py.server.job import Ask, Begun, Ended, Event, Job, Piece
from runtime_py.server.messages import messages
from runtime_py.server.serving import Serving
from runtime_py.server.sse import Chunk, EventStream
from runtime_py.server.words import finish_reason, logprobs, timings, usage
from runtime_py.stats import Generation


class ChatBody(Completed):
    unsupported: ClassVar[dict[str, str]] = {
        "functions": "use tools",
        "function_call": "use tool_choice",
        "audio": "the model writes text only",
        "prediction": "the server does not take predicted outputs",
        "web_search_options": "the server has no web search",
        "verbosity": "say it in a message",
        "moderation": "the server does not moderate",
    }

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    thinking_budget: Annotated[int, Field(ge=0)] | None = None
    documents: list[dict[str, Any]] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    modalities: list[str] | None = None
    store: bool | None = None


def ask_of(body: ChatBody, known: Collection[str]) -> Ask:
    """
    Args:
        known: variables of the chat template.

    Raises:
        ApiError: parameters contradict one another, or a message is wrong.
    """
    given = arguments(body)
    most = body.max_completion_tokens or body.max_tokens
    if body.max_tokens == 0:
        raise wrong("max_tokens must be at least 1", "max_tokens", "invalid_value")
    if most is not None:
        given["max_new_tokens"] = most
    if body.top_logprobs and not body.logprobs:
        raise wrong("top_logprobs needs logprobs: true", "top_logprobs")
    if body.logprobs:
        given["logprobs"] = body.top_logprobs or 0
    if body.modalities not in (None, ["text"]):
        raise wrong("modalities may only be ['text']", "modalities", "unsupported_value")
    if body.documents is not None:
        given["documents"] = body.documents
    given |= with_tools(body.tools, body.tool_choice, body.parallel_tool_calls)
    given |= with_format(body.response_format, "response_format")
    variables = template_variables(body.chat_template_kwargs or {}, known)
    given |= with_thinking(variables, body.reasoning_effort, body.thinking_budget, known)
    return Ask((messages(body.messages),), given, body.n or 1, body.seed, variables)


@noted
async def create(request: Request) -> Response:
    serving = serving_of(request)
    body = await read(request, ChatBody)
    serving.ready()
    check_model(serving, body.model)
    job = await submitted(request, lambda: ask_of(body, serving.template_variables))
    if body.stream:
        return EventStream(serving, job, Chunks(serving, job, body))
    await collected(request, job)
    return JSONResponse(_whole(serving, job, body))


def _head(serving: Serving, job: Job, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{job.id}",
        "object": kind,
        "created": int(job.created),
        "model": serving.model_name,
        "system_fingerprint": serving.fingerprint,
    }


def _whole(serving: Serving, job: Job, body: ChatBody) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": message(answer),
            "logprobs": _logprobs(serving, answer.logprobs, body),
            "finish_reason": finish_reason(answer),
        }
        for index, answer in sorted(job.answers.items())
    ]
    return {
        **_head(serving, job, "chat.completion"),
        "choices": choices,
        "usage": usage(job),
        "timings": timings(job.answers[0].stats),
    }


def message(answer: Generation) -> dict[str, Any]:
    """An answer as a message of the assistant."""
    made: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.reasoning:
        made["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        made["content"] = answer.text or None
        made["tool_calls"] = [call.as_dict(text=True) for call in answer.tool_calls]
    return made


def _logprobs(serving: Serving, found: Any, body: ChatBody) -> dict[str, Any] | None:
    if not body.logprobs:
        return None
    return {"content": logprobs(found, serving.token_texts), "refusal": None}


class Chunks:
    """The chunks of a stream of chat completions for each event."""

    def __init__(self, serving: Serving, job: Job, body: ChatBody) -> None:
        self._serving, self._job, self._body = serving, job, body
        self._calls: dict[int, int] = {}
        self._head = _head(serving, job, "chat.completion.chunk")
        if body.include_usage:
            self._head["usage"] = None

    def __call__(self, event: Event | None) -> Iterator[Chunk]:
        if event is None:
            if self._body.include_usage:
                yield {**self._head, "choices": [], "usage": usage(self._job)}
            yield "[DONE]"
        elif isinstance(event, Begun):
            for index in range(self._job.ask.n):
                yield self._chunk(index, {"role": "assistant", "content": ""})
        elif isinstance(event, Piece):
            yield self._chunk(event.index, self._delta(event), event.logprobs)
        elif isinstance(event, Ended):
            ended = self._chunk(event.index, {}, event.logprobs, finish_reason(event.answer))
            yield {**ended, "timings": timings(event.answer.stats)}

    def _delta(self, piece: Piece) -> dict[str, Any]:
        if piece.call is None:
            name = "reasoning_content" if piece.kind == "reasoning" else "content"
            return {name: piece.text}
        number = self._calls.get(piece.index, 0)
        self._calls[piece.index] = number + 1
        return {"tool_calls": [{"index": number, **piece.call.as_dict(text=True)}]}

    def _chunk(
        self, index: int, delta: dict[str, Any], found: Any = (), finish: str | None = None
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": _logprobs(self._serving, found, self._body) if found else None,
            "finish_reason": finish,
        }
        return {**self._head, "choices": [choice]}


ROUTES = [Route("/v1/chat/completions", create, methods=["POST"])]
