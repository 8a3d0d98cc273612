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
from runtime_py.server.bodies import Completed, arguments
from runtime_py.server.completion_chunks import Chunks, head
from runtime_py.server.errors import wrong
from runtime_py.server.handling import collected, noted, received, submitted
from runtime_py.server.job import Ask, Ended, Job, Piece
from runtime_py.server.messages import messages
from runtime_py.server.serving import Serving
from runtime_py.server.sse import EventStream
from runtime_py.server.words import finish_reason, logprobs, timings, usage
from runtime_py.stats import Generation

_PREFIX = "chatcmpl"


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
    serving, body = await received(request, ChatBody)
    job = await submitted(request, lambda: ask_of(body, serving.template_variables))
    if body.stream:
        return EventStream(serving, job, ChatChunks(serving, job, body))
    await collected(request, job)
    return JSONResponse(_whole(serving, job, body))


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
        **head(serving, job, _PREFIX, "chat.completion"),
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


class ChatChunks(Chunks):
    """Those of chat completions."""

    def __init__(self, serving: Serving, job: Job, body: ChatBody) -> None:
        begin = head(serving, job, _PREFIX, "chat.completion.chunk")
        super().__init__(begin, job, body.include_usage)
        self._serving, self._body = serving, body
        self._calls: dict[int, int] = {}

    def begun(self) -> Iterator[dict[str, Any]]:
        for index in range(self._job.ask.n):
            yield self._choice(index, {"role": "assistant", "content": ""})

    def piece(self, piece: Piece) -> dict[str, Any]:
        return self._choice(piece.index, self._delta(piece), piece.logprobs)

    def ended(self, ended: Ended) -> dict[str, Any]:
        return self._choice(ended.index, {}, ended.logprobs, finish_reason(ended.answer))

    def _delta(self, piece: Piece) -> dict[str, Any]:
        if piece.call is None:
            name = "reasoning_content" if piece.kind == "reasoning" else "content"
            return {name: piece.text}
        number = self._calls.get(piece.index, 0)
        self._calls[piece.index] = number + 1
        return {"tool_calls": [{"index": number, **piece.call.as_dict(text=True)}]}

    def _choice(
        self, index: int, delta: dict[str, Any], found: Any = (), finish: str | None = None
    ) -> dict[str, Any]:
        return {
            "index": index,
            "delta": delta,
            "logprobs": _logprobs(self._serving, found, self._body) if found else None,
            "finish_reason": finish,
        }


ROUTES = [Route("/v1/chat/completions", create, methods=["POST"])]
