"""POST /v1/responses, and GET and DELETE /v1/responses/ID."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime_py.server.asking import with_format, with_thinking, with_tools
from runtime_py.server.bodies import Sampled, arguments
from runtime_py.server.errors import ApiError, wrong
from runtime_py.server.handling import collected, noted, received, serving_of, submitted
from runtime_py.server.job import Ask, Job
from runtime_py.server.response_events import Events
from runtime_py.server.response_items import input_messages, output_items, own_id
from runtime_py.server.response_memory import Kept
from runtime_py.server.serving import Serving
from runtime_py.server.sse import EventStream
from runtime_py.server.words import logprobs, usage
from runtime_py.stats import Generation

_LOGPROBS = "message.output_text.logprobs"


class ResponseBody(Sampled):
    unsupported: ClassVar[dict[str, str]] = {
        "conversation": "use previous_response_id",
        "prompt": "the server has no stored prompts; use instructions",
        "max_tool_calls": "the server has no tools of its own",
        "context_management": "the server keeps all of the conversation",
    }

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    thinking_budget: Annotated[int, Field(ge=0)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: list[str] | None = None
    store: bool | None = None
    truncation: str | None = None
    background: bool | None = None


def ask_of(serving: Serving, body: ResponseBody) -> Ask:
    """
    Raises:
        ApiError: a parameter is wrong, or the response to go on from is not known.
    """
    _check_finite(body)
    if body.background:
        raise wrong("background is not supported", "background", "unsupported_value")
    if body.truncation not in (None, "disabled"):
        raise wrong("truncation may only be disabled", "truncation", "unsupported_value")
    given = arguments(body)
    if body.max_output_tokens is not None:
        given["max_new_tokens"] = body.max_output_tokens
    tools = [_tool(each) for each in body.tools or []]
    given |= with_tools(tools, _choice(body.tool_choice), body.parallel_tool_calls)
    given |= with_format(_format(body.text), "text.format")
    for name in body.include or ():
        if name not in (_LOGPROBS, "reasoning.encrypted_content"):
            raise wrong(f"include: the server has no '{name[:80]}'", "include")
    if _LOGPROBS in (body.include or ()) or body.top_logprobs:
        given["logprobs"] = body.top_logprobs or 0
    effort = (body.reasoning or {}).get("effort")
    given |= with_thinking({}, effort, body.thinking_budget, serving.template_variables)
    return Ask((_conversation(serving, body),), given, 1, body.seed)


def _check_finite(body: ResponseBody) -> None:
    """Parameters come back in the response, which must be JSON."""
    try:
        json.dumps(body.model_dump(exclude={"input"}), allow_nan=False)
    except ValueError:
        raise wrong("the body has a number that is not finite") from None


def _conversation(serving: Serving, body: ResponseBody) -> list[dict[str, Any]]:
    before: list[dict[str, Any]] = []
    if body.previous_response_id is not None:
        before = _kept(serving, body.previous_response_id, "previous_response_id").messages
    system = [{"role": "system", "content": body.instructions}] if body.instructions else []
    # Instructions are of one response, and are not handed on to the next.
    return [*system, *before, *input_messages(body.input)]


def _kept(serving: Serving, id: str, param: str) -> Kept:
    found = serving.responses.get(id)
    if found is None:
        raise ApiError(
            404, f"there is no response '{id[:80]}'; the server keeps the last ones until it ends",
            param=param, code="response_not_found",
        )  # fmt: skip
    return found


def _tool(given: dict[str, Any]) -> dict[str, Any]:
    """As chat completions have it."""
    if given.get("type") != "function" or "function" in given:
        return given
    inner = {name: value for name, value in given.items() if name != "type" and value is not None}
    return {"type": "function", "function": inner}


def _choice(given: Any) -> Any:
    if isinstance(given, dict) and given.get("type") == "function" and "name" in given:
        return {"type": "function", "function": {"name": given["name"]}}
    return given


def _format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    for name in given or ():
        if name not in ("format", "verbosity"):
            raise wrong(f"text.{name[:80]} is not supported", f"text.{name[:80]}")
    found = (given or {}).get("format")
    if found is not None and not isinstance(found, dict):
        raise wrong("text.format must be an object", "text.format")
    return found


@noted
async def create(request: Request) -> Response:
    serving, body = await received(request, ResponseBody)
    job = await submitted(request, lambda: ask_of(serving, body))
    made = _Made(serving, job, body)
    if body.stream:
        events = Events(made.response, made.logprobs, made.keep)
        return EventStream(serving, job, events, events.failed)
    await collected(request, job)
    answer = job.answers[0]
    cut = answer.finish in ("length", "context")
    response = made.response(
        "incomplete" if cut else "completed", output_items(answer, made.logprobs(answer.logprobs)),
        answer,
    )  # fmt: skip
    made.keep(response)
    return JSONResponse(response)


class _Made:
    """The response to a job."""

    def __init__(self, serving: Serving, job: Job, body: ResponseBody) -> None:
        self._serving, self._job, self._body = serving, job, body
        self._id = own_id("resp")

    def response(
        self, status: str, output: list[dict[str, Any]], answer: Generation | None = None
    ) -> dict[str, Any]:
        body, defaults = self._body, self._serving.llm.defaults
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self._id,
            "object": "response",
            "created_at": int(self._job.created),
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": cut,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._serving.model_name,
            "output": list(output),
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": (body.reasoning or {}).get("effort"), "summary": None},
            "store": body.store is not False,
            "temperature": _or(body.temperature, defaults.temperature),
            "text": body.text or {"format": {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": _or(body.top_p, defaults.top_p),
            "truncation": "disabled",
            "usage": None if answer is None else _usage(self._job),
            "user": body.user,
        }

    def logprobs(self, found: Any) -> list[Any]:
        return logprobs(found, self._serving.token_texts)

    def keep(self, response: dict[str, Any]) -> None:
        """For a response that goes on from this one."""
        if self._body.store is False:
            return
        messages = list(self._job.ask.prompts[0])
        if self._body.instructions:
            messages = messages[1:]
        messages.append(self._job.answers[0].message)
        self._serving.responses.add(self._id, Kept(messages, response))


def _or(given: float | None, default: float) -> float:
    return default if given is None else given


def _usage(job: Job) -> dict[str, Any]:
    found = usage(job)
    return {
        "input_tokens": found["prompt_tokens"],
        "input_tokens_details": found["prompt_tokens_details"],
        "output_tokens": found["completion_tokens"],
        "output_tokens_details": found["completion_tokens_details"],
        "total_tokens": found["total_tokens"],
    }


@noted
async def get(request: Request) -> JSONResponse:
    id = request.path_params["id"]
    return JSONResponse(_kept(serving_of(request), id, "response_id").response)


@noted
async def delete(request: Request) -> JSONResponse:
    serving, id = serving_of(request), request.path_params["id"]
    _kept(serving, id, "response_id")
    serving.responses.remove(id)
    return JSONResponse({"id": id, "object": "response", "deleted": True})


ROUTES = [
    Route("/v1/responses", create, methods=["POST"]),
    Route("/v1/responses/{id}", get, methods=["GET"]),
    Route("/v1/responses/{id}", delete, methods=["DELETE"]),
]
