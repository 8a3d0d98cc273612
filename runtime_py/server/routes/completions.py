"""POST /v1/completions: raw prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime_py.sampling.logprobs import TokenLogprob
from runtime_py.server.asking import with_format
from runtime_py.server.bodies import Completed, arguments
from runtime_py.server.completion_chunks import Chunks, head
from runtime_py.server.errors import wrong
from runtime_py.server.handling import collected, noted, received, submitted
from runtime_py.server.job import Ask, Ended, Job, Piece
from runtime_py.server.serving import Serving
from runtime_py.server.sse import EventStream
from runtime_py.server.words import finish_reason, timings, usage

_TOKENS = 16
"""Most tokens of an answer unless the request says otherwise, as in OpenAI's API."""
_PROMPTS = 512
"""Most prompts of one request."""
_KIND = ("cmpl", "text_completion")
"""Prefix of ids, and ``object``."""


class CompletionBody(Completed):
    unsupported: ClassVar[dict[str, str]] = {
        "suffix": "the model only goes on at the end of a text",
    }

    prompt: str | list[int] | list[str] | list[list[int]]
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=100)] | None = None
    response_format: dict[str, Any] | None = None


def ask_of(body: CompletionBody) -> Ask:
    """
    Raises:
        ApiError: parameters contradict one another, or there is no prompt.
    """
    given = arguments(body)
    most = _TOKENS if body.max_tokens is None else body.max_tokens
    if most == 0 and not body.echo:
        raise wrong("max_tokens: 0 gives nothing without echo: true", "max_tokens")
    given["max_new_tokens"] = most or 1
    if body.logprobs is not None:
        given["logprobs"] = body.logprobs
    if body.best_of not in (None, 1, body.n):
        raise wrong(
            "best_of other than n is not supported: ask for n answers", "best_of",
            "unsupported_value",
        )  # fmt: skip
    if body.echo and body.stream:
        raise wrong("echo is not supported with stream", "echo", "unsupported_value")
    given |= with_format(body.response_format, "response_format")
    prompts = prompts_of(body.prompt)
    score = body.logprobs if body.echo else None
    return Ask(prompts, given, (body.n or 1) if most else 0, body.seed, score=score)


def prompts_of(prompt: Any) -> tuple[Any, ...]:
    """One prompt, or each of several."""
    several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
    if prompt == [] or (several and any(each == [] or each == "" for each in prompt)):
        raise wrong("a prompt is empty", "prompt")
    if several and len(prompt) > _PROMPTS:
        raise wrong(f"prompt may have {_PROMPTS} prompts at most", "prompt")
    return tuple(prompt) if several else (prompt,)


@noted
async def create(request: Request) -> Response:
    serving, body = await received(request, CompletionBody)
    job = await submitted(request, lambda: ask_of(body))
    if body.stream:
        return EventStream(serving, job, CompletionChunks(serving, job, body))
    await collected(request, job)
    return JSONResponse(_whole(serving, job, body))


def _whole(serving: Serving, job: Job, body: CompletionBody) -> dict[str, Any]:
    made = {
        **head(serving, job, *_KIND), "choices": _choices(serving, job, body), "usage": usage(job),
    }  # fmt: skip
    return made | ({"timings": timings(job.answers[0].stats)} if job.answers else {})


def _choices(serving: Serving, job: Job, body: CompletionBody) -> list[dict[str, Any]]:
    choices: list[dict[str, Any]] = []
    for number, ids in enumerate(job.ids):
        echoed = serving.llm.tokenizer.decode(ids) if body.echo else ""
        scored = job.scores.get(number)
        for each in range(max(job.ask.n, 1)):
            answer = job.answers.get(number * job.ask.n + each) if job.ask.n else None
            written = Written(serving)
            if scored is not None:
                written.first(ids[0])
                written.add(scored)
            if answer is not None:
                written.add(answer.logprobs)
            choices.append({
                "index": len(choices),
                "text": echoed + (answer.text if answer else ""),
                "logprobs": None if body.logprobs is None else written.found,
                "finish_reason": finish_reason(answer) if answer else "length",
            })  # fmt: skip
    return choices


class Written:
    """Log-probabilities as completions write them.

    Attributes:
        found: of all tokens since the last ``take``.
    """

    def __init__(self, serving: Serving) -> None:
        self._texts, self._offset = serving.token_texts, 0
        self.found = self._empty()

    @staticmethod
    def _empty() -> dict[str, list[Any]]:
        return {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}

    def _text(self, token: int) -> str:
        return self._texts.raw(token).decode("utf-8", "replace")

    def first(self, token: int) -> None:
        """A token before which there is nothing: it has no probability."""
        self._one(token, None, None)

    def add(self, logprobs: Sequence[TokenLogprob]) -> None:
        for each in logprobs:
            top = {self._text(token): value for token, value in each.top}
            self._one(each.token, each.logprob, top)

    def _one(self, token: int, logprob: float | None, top: dict[str, float] | None) -> None:
        text, found = self._text(token), self.found
        found["tokens"].append(text)
        found["token_logprobs"].append(logprob)
        found["top_logprobs"].append(top)
        found["text_offset"].append(self._offset)
        self._offset += len(text)

    def take(self) -> dict[str, list[Any]]:
        found, self.found = self.found, self._empty()
        return found


class CompletionChunks(Chunks):
    """Those of completions."""

    def __init__(self, serving: Serving, job: Job, body: CompletionBody) -> None:
        super().__init__(head(serving, job, *_KIND), job, body.include_usage)
        self._serving, self._body = serving, body
        self._written: dict[int, Written] = {}

    def piece(self, piece: Piece) -> dict[str, Any]:
        return self._choice(piece.index, piece.text, piece.logprobs)

    def ended(self, ended: Ended) -> dict[str, Any]:
        return self._choice(ended.index, "", ended.logprobs, finish_reason(ended.answer))

    def _choice(
        self, index: int, text: str, found: Sequence[TokenLogprob], finish: str | None = None
    ) -> dict[str, Any]:
        logprobs = None
        if self._body.logprobs is not None:
            written = self._written.setdefault(index, Written(self._serving))
            written.add(found)
            logprobs = written.take()
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


ROUTES = [Route("/v1/completions", create, methods=["POST"])]
