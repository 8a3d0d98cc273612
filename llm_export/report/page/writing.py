"""Tell why a page cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from llm_export.errors import InputError

ELSEWHERE = "write it elsewhere with --html FILE"


@contextlib.contextmanager
def writing(where: str, fix: str | None = ELSEWHERE) -> Iterator[None]:
    """Context in which a page is written to ``where``.

    Raises:
        InputError: the system refuses it.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the page cannot be written: {error.strerror}", where=where, fix=fix
        ) from None
