"""Errors of loading and running a bundle, with messages for users."""

from __future__ import annotations


class BundleRuntimeError(Exception):
    """A bundle cannot be loaded or does not support a request: what failed, where, and the fix."""

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  where: {self.where}"] if self.where else []
        lines += [f"  fix:   {self.fix}"] if self.fix else []
        return "\n".join(lines)


class Cancelled(Exception):
    """A stream was cancelled while its prompt was fed."""


class ArgumentError(BundleRuntimeError, ValueError):
    """An argument of the runtime's functions has the wrong type or value."""


class MissingSessionError(BundleRuntimeError):
    """A store has no session of this id."""


class MissingPackageError(BundleRuntimeError, ImportError):
    """A package that a function needs is not installed."""


def shown(value: object) -> str:
    """A value in a message, cut to a readable length."""
    try:
        text = repr(value)
    except Exception:  # of a whole number with too many digits, or of a caller's class
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."


def check_whole(name: str, value: object, least: int) -> None:
    """Raises ArgumentError if an argument is no whole number from ``least`` on."""
    if type(value) is not int or value < least:
        raise ArgumentError(f"{name} must be a whole number from {least}, not {shown(value)}")
