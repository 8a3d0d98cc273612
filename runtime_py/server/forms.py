"""Read and check requests that send a file (multipart/form-data, RFC 7578)."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from runtime_py.errors import MissingPackageError
from runtime_py.server.bodies import Kind, validated
from runtime_py.server.errors import ApiError, wrong

_PATIENCE = 120.0
"""Seconds that a client has to send a file."""
_FIELDS = 64
_FIELD_BYTES = 64 * 1024


def require_multipart() -> None:
    """Raises MissingPackageError without the package that reads forms."""
    if find_spec("python_multipart") is None:
        raise MissingPackageError(
            "requests with a file need python-multipart, which is not installed",
            fix="pip install python-multipart",
        )


async def read_form(request: Request, kind: type[Kind]) -> tuple[Kind, bytes]:
    """The fields of a form but ``file``, and its bytes.

    Raises:
        ApiError: the body is no form, has no file, or a field is unknown or wrong.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise wrong("the body must be multipart/form-data, with the audio in the field 'file'")
    try:
        return await asyncio.wait_for(_read(request, kind), _PATIENCE)
    except asyncio.TimeoutError:
        raise ApiError(
            408, f"the body was not complete within {_PATIENCE:g} s", code="request_timeout"
        ) from None
    except HTTPException as error:
        raise wrong(f"the form cannot be read: {error.detail}") from None


async def _read(request: Request, kind: type[Kind]) -> tuple[Kind, bytes]:
    fields: dict[str, Any] = {}
    lists: dict[str, list[str]] = {}
    found: bytes | None = None
    async with request.form(max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES) as form:
        for name, value in form.multi_items():
            if not isinstance(value, str):
                if name != "file":
                    raise wrong(f"the field '{name[:100]}' must be a text", name[:100])
                found = await value.read()
            elif name.endswith("[]"):
                lists.setdefault(name.removesuffix("[]"), []).append(value)
            elif name == "file":
                raise wrong("the field 'file' must be a file, with a filename", "file")
            else:
                fields[name] = value
    if found is None:
        raise wrong("the field 'file' is missing", "file", "missing_required_parameter")
    return validated(kind, {**fields, **lists}), found
