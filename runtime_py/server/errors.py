"""Errors as OpenAI's API writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from runtime_py.errors import ArgumentError, BundleRuntimeError


class ApiError(Exception):
    """An answer with an error object.

    Args:
        status: of HTTP.
        message: what is wrong, and what helps.
        param: the parameter that is wrong.
        code: for programs.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        error = {"message": self.message, "type": _kind(self.status), "param": self.param,
                 "code": self.code}  # fmt: skip
        return {"error": error}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def wrong(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that cannot be answered as it is."""
    return ApiError(400, message, param=param, code=code)


def refused(error: BundleRuntimeError, param: str | None = None) -> ApiError:
    """What the runtime refuses, without paths of this machine."""
    what = error.what.rstrip(".")
    return wrong(f"{what} ({error.fix})" if error.fix else what, param)


def unsupported(message: str) -> ApiError:
    """What another kind of model is needed for."""
    return wrong(message, "model", "model_not_supported")


def gone_wrong(error: BaseException) -> ApiError:
    """What failed while an answer was generated."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ArgumentError):
        return refused(error)
    if isinstance(error, BundleRuntimeError):
        return ApiError(
            500, error.what, code="generation_failed", headers={"x-should-retry": "false"}
        )
    return ApiError(500, f"unexpected {type(error).__name__}", code="internal_error")


def stopping() -> ApiError:
    return ApiError(
        503, "the server is stopping", code="stopping", headers={"x-should-retry": "false"}
    )


def loading() -> ApiError:
    return ApiError(503, "the model is being loaded", code="loading", headers={"Retry-After": "2"})


def timed_out(seconds: float) -> ApiError:
    """The same request would take as long again."""
    return ApiError(
        504, f"the answer was not complete within the server's limit of {seconds:g} s",
        code="deadline_exceeded", headers={"x-should-retry": "false"},
    )  # fmt: skip


def queue_full(most: int) -> ApiError:
    return ApiError(
        429, f"{most} requests are waiting, which is the server's limit", code="queue_full",
        headers={"Retry-After": "5"},
    )  # fmt: skip
