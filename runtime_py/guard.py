"""Turn whatever a library raises on bad input into an error for users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from runtime_py.errors import BundleRuntimeError


@contextlib.contextmanager
def guarded(
    what: str,
    *,
    where: str | None = None,
    fix: str | None = None,
    kind: type[BundleRuntimeError] = BundleRuntimeError,
) -> Iterator[None]:
    """Raise ``kind``, beginning with ``what``, for any other error of the body.

    A panic of a library in Rust counts as an error, though its class derives from BaseException.
    """
    try:
        yield
    except BundleRuntimeError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{what}: {reason(error)}", where=where, fix=fix) from None


def reason(error: BaseException) -> str:
    """An error in one short line; with its class where the text alone says little."""
    lines = str(error).strip().splitlines()
    text = lines[0][:300] if lines else ""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return error.strerror or text
    bare = isinstance(error, LookupError | TypeError | ArithmeticError | AttributeError)
    return f"{type(error).__name__} {text}".strip() if bare or not text else text
