"""Score what a bundle makes of a user's examples: JSON Lines with inputs and what is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from llm_export.bundle.measures import Measure
from llm_export.errors import InputError, MissingDependencyError
from runtime_py.cli.batch_jsonl import parsed
from runtime_py.errors import ArgumentError

Answer = TypeVar("Answer")
Example = dict[str, Any]
Progress = Callable[[int, int], None]


class Scorer(Protocol):
    """How a task's answers are scored."""

    def __call__(
        self, bundle: Path, examples: Sequence[Example], progress: Progress
    ) -> tuple[Measure, ...]:
        """Figures over all examples."""
        ...


@dataclass(frozen=True)
class Form:
    """A kind of example: the keys that a line must have, and those that it may have."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()

    def optional(self, example: Example) -> Example:
        """What an example states of the keys that it may have."""
        return {name: example[name] for name in self.takes if name in example}

    def __str__(self) -> str:
        return "{" + ", ".join(f'"{name}": ...' for name in self.needs) + "}"


def read_examples(file: Path, forms: Sequence[Form], most: int | None = None) -> list[Example]:
    """The examples of a file, which are all of the form that its first line has.

    Raises:
        InputError: the file cannot be read, is empty, or a line is wrong.
    """
    shown = "; or ".join(map(str, forms))
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as source:
            lines = source.readlines()
    except OSError as error:
        raise InputError(
            f"the examples cannot be read: {error.strerror}", where=str(file), fix="another file"
        ) from None
    first = next(parsed(lines), None)
    data = first.data if first is not None and first.data is not None else {}
    form = next((form for form in forms if set(form.needs) <= set(data)), forms[0])
    found = list(islice(parsed(lines, form.needs, form.takes), most))
    wrong = next((line.error for line in found if line.error is not None), None)
    if wrong is not None:
        raise InputError(
            wrong.what, where=str(file), fix=wrong.fix or f"lines are of the form {shown}"
        )
    if not found:
        raise InputError("there are no examples", where=str(file), fix=f"write lines {shown}")
    return [line.data for line in found if line.data is not None]


def texts_of(examples: Sequence[Example], key: str) -> list[str]:
    """Raises InputError if a value is no text."""
    for number, example in enumerate(examples, 1):
        value = example[key]
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"example {number}: {key} must be a text, not {value!r:.80}")
    return [example[key] for example in examples]


def answered(
    examples: Sequence[Example], answer: Callable[[Example], Answer], progress: Progress
) -> list[Answer]:
    """
    Raises:
        InputError: the bundle does not take an example.
    """
    found = []
    for number, example in enumerate(examples, 1):
        try:
            found.append(answer(example))
        except ArgumentError as error:
            raise InputError(
                f"example {number}: {error.what}", where=error.where, fix=error.fix
            ) from None
        progress(number, len(examples))
    return found


def missing(package: str, what: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{what} needs {package}, which is not installed", fix=f"pip install {package}"
    )
