"""All exceptions of llm_export. Every error says what happened, where, and how to fix it.

Exit codes: 1: a stage failed; 2: the recipe or its input is wrong; 3: the environment lacks
something, such as a package, memory or a device.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runtime_py.errors import BundleRuntimeError

EXCERPT = 80
_LINE = 400
_COMMAND = 1200


def excerpt(value: object, most: int = EXCERPT) -> str:
    """A user's value as messages repeat it: on one line, without control characters, cut to
    ``most`` characters."""
    text = value if isinstance(value, str) else str(value)
    head = _printable(text[: most + 1])
    return head if len(head) <= most else f"{head[: most - 3]}..."


def fitted(text: str, most: int = _LINE) -> str:
    """A message whose lines are cut in the middle where a value makes them long, and whose
    control characters, which a terminal would obey, are replaced."""
    return "\n".join(_printable(_cut(line, most)) for line in text.split("\n"))


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 120]} ... {line[-115:]}"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


class LlmExportError(Exception):
    """Base class of all errors that are shown to the user.

    Args:
        what: what went wrong, one sentence without a trailing full stop.
        where: the file, key or tensor concerned.
        fix: how to fix it: an instruction or a command.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        what = fitted(what)
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {fitted(self.where)}")
        if self.fix:
            lines.append(f"  fix:   {fitted(self.fix, _COMMAND)}")
        return "\n".join(lines)


class RecipeError(LlmExportError):
    """The recipe, an override or the command line is wrong."""

    exit_code = 2


class InputError(LlmExportError):
    """A file or folder that the recipe names is missing, damaged or of the wrong kind."""

    exit_code = 2


class CheckpointError(InputError):
    """A checkpoint cannot be read, or does not fit the model."""


class BundleError(InputError):
    """A bundle is incomplete or damaged."""


@contextmanager
def bundle_errors() -> Iterator[None]:
    """Context manager: an error of the runtime about a bundle becomes a BundleError."""
    try:
        yield
    except BundleRuntimeError as error:
        raise BundleError(error.what, where=error.where, fix=error.fix) from None


class MissingDependencyError(LlmExportError):
    """A package, SDK, or resource of the machine is missing."""

    exit_code = 3


class TargetError(LlmExportError):
    """A device cannot be reached, or lacks something."""

    exit_code = 3


class StageError(LlmExportError):
    """A stage failed for a reason that is not the user's input."""

    exit_code = 1

    def __init__(self, stage: str, recipe: str, cause: BaseException, log: str | None) -> None:
        super().__init__(
            f"stage '{stage}' of {recipe} failed: {first_line(cause)}",
            fix=f"the traceback is in {log}" if log else None,
        )
        self.stage = stage


class VerificationError(LlmExportError):
    """The exported program does not match the model."""


class TrainingError(LlmExportError):
    """Training failed, for example because the loss is not finite."""


class PostConditionError(LlmExportError):
    """The output of a transform or of lowering fails its check."""


def first_line(error: BaseException) -> str:
    """What went wrong in one line; for errors that are not for users with the type."""
    if isinstance(what := getattr(error, "what", None), str):
        return what.strip().splitlines()[0]
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


MANY = 12
"""Error messages list all known names up to this number, and only the nearest ones above it."""


def nearest(name: str, known: Iterable[str], count: int = 1) -> list[str]:
    """The names most similar to ``name``, best first; empty if none is close."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def did_you_mean(name: str, known: Iterable[str], listing: str | None = None) -> str:
    """A fix line: the nearest name, then all known names, or only the nearest ones if there are
    many. If none is near, ``listing`` says where to find them instead of more than a line holds."""
    choices = sorted(known)
    many = len(choices) > MANY
    near = [f"'{n}'" for n in nearest(name, choices, 3 if many else 1)]
    if near and many:
        return f"did you mean {' or '.join(near)}?"
    if listing is not None and len(choices) > 2 * MANY:
        return listing
    listed = ", ".join(choices)
    return f"did you mean {near[0]}? choices: {listed}" if near else f"choices: {listed}"


@dataclass(frozen=True)
class Problem:
    """One problem of a recipe: what is wrong, at which key, and how to fix it."""

    what: str
    key: str
    fix: str
    environment: bool = False

    def __str__(self) -> str:
        return f"{fitted(self.key)}: {fitted(self.what)}\n  fix:   {fitted(self.fix, _COMMAND)}"
