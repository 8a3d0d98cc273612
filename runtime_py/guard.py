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
    """Raise ``kind``, beginning with ``what``, for any other error of the body."""
    try:
        yield
    except BundleRuntimeError:
        raise
    except BaseException as error:
        if not is_of_a_library(error):
            raise
        raise kind(f"{what}: {reason(error)}", where=where, fix=fix) from None


def is_of_a_library(error: BaseException) -> bool:
    """Whether an error is no request to end the process: a panic of a library in Rust is none
    either, though its class derives from BaseException."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


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
