"""Read and check the bodies of requests."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request

from runtime_py.server.errors import ApiError, wrong

_PATIENCE = 30.0
"""Seconds that a client has to send a body."""


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_texts), Field(max_length=16)]
"""A text, or several."""


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    include_usage: bool = False
    include_obfuscation: bool | None = None


class Body(BaseModel):
    """Unknown parameters are refused.

    ``unsupported``: parameters of OpenAI's API that the server does not have -> what helps.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    unsupported: ClassVar[dict[str, str]] = {}

    model: str | None = None
    # Who asks and what for: nothing of the answer depends on these.
    user: Any = None
    metadata: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None


class Sampled(Body):
    """Parameters of sampling; None is the bundle's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class Completed(Sampled):
    """What chat completions and completions share."""

    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Texts | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    logit_bias: dict[str, float] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None


SAMPLED = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty",
    "presence_penalty", "frequency_penalty",
)  # fmt: skip
"""Parameters that ``Answers.stream`` has by the same name."""


def arguments(body: Sampled) -> dict[str, Any]:
    """Those of ``Answers.stream`` that a body has."""
    given = {name: value for name in SAMPLED if (value := getattr(body, name)) is not None}
    if isinstance(body, Completed):
        if body.stop:
            given["stop"] = body.stop
        if body.stop_token_ids:
            given["stop_ids"] = body.stop_token_ids
        if body.ignore_eos:
            given["ignore_eos"] = True
        if body.logit_bias:
            given["logit_bias"] = {_token(name): v for name, v in body.logit_bias.items()}
    return given


def _token(name: str) -> int:
    if not (name.isascii() and name.isdecimal() and len(name) < 20):
        raise wrong("logit_bias must map token ids to numbers", "logit_bias")
    return int(name)


Kind = TypeVar("Kind", bound=Body)


async def read(request: Request, kind: type[Kind]) -> Kind:
    """
    Raises:
        ApiError: the body is not JSON, or a parameter is unknown, missing or of the wrong type.
    """
    try:
        raw = await asyncio.wait_for(request.body(), _PATIENCE)
    except asyncio.TimeoutError:
        raise ApiError(
            408, f"the body was not complete within {_PATIENCE:g} s", code="request_timeout"
        ) from None
    return _checked(kind, lambda: kind.model_validate_json(raw))


def validated(kind: type[Kind], fields: dict[str, Any]) -> Kind:
    """The fields of a form.

    Raises:
        ApiError: as ``read``.
    """
    return _checked(kind, lambda: kind.model_validate(fields))


def _checked(kind: type[Kind], validate: Callable[[], Kind]) -> Kind:
    try:
        return validate()
    except ValidationError as error:
        # The input is left out of messages: they go to logs.
        found = error.errors(include_url=False, include_context=True, include_input=False)
        raise _described(kind, _joined([dict(one) for one in found])) from None


def _joined(errors: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first error; of a parameter that takes several types, what each of them says, of a list
    those that take most of its items.

    Pydantic names the type that failed in the place, as in input.str and input.list[int][3].
    """
    first = errors[0]
    place = [str(part) for part in first["loc"]]
    at = next((i for i, part in enumerate(place) if i and _TYPE.fullmatch(part)), None)
    if at is None:
        return first
    tried = [e for e in errors if e["loc"][:at] == first["loc"][:at]]
    items = [tuple(part for part in e["loc"][at + 1 :] if isinstance(part, int)) for e in tried]
    furthest = max(items)
    same = [e for e, item in zip(tried, items, strict=True) if item == furthest]
    said = list(dict.fromkeys(_lower(e["msg"]) for e in same))
    message = " or ".join([said[0], *(one.removeprefix("input should be ") for one in said[1:])])
    return {**first, "loc": (*first["loc"][:at], *furthest), "msg": message}


_TYPE = re.compile(r"str|int|float|bool|(list|dict|tuple|function-\w+|constrained-\w+)\b.*")


def _described(kind: type[Body], error: dict[str, Any]) -> ApiError:
    param, name, what = _path(error["loc"]), error["type"], error["msg"]
    if name == "json_invalid":
        return wrong(f"the body is not valid JSON: {what.removeprefix('Invalid JSON: ')}")
    if name == "missing":
        return wrong(f"the parameter '{param}' is missing", param, "missing_required_parameter")
    if name == "extra_forbidden":
        return _unknown(kind, param)
    if not param:
        same = what == "Input should be an object"
        return wrong("the body must be a JSON object" + ("" if same else f": {what}"))
    return wrong(f"the parameter '{param}' is wrong: {_lower(what)}", param, "invalid_value")


def _unknown(kind: type[Body], param: str) -> ApiError:
    if param in kind.unsupported:
        return wrong(
            f"the parameter '{param}' is not supported: {kind.unsupported[param]}", param,
            "unsupported_parameter",
        )  # fmt: skip
    near = difflib.get_close_matches(param, kind.model_fields, n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return wrong(f"there is no parameter '{param[:100]}'{hint}", param[:100], "unknown_parameter")


def _path(loc: Sequence[str | int]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text[:200]


def _lower(text: str) -> str:
    text = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", text)
    return text[:1].lower() + text[1:]
