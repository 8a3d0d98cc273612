"""Batch mode of a verb: JSON objects in, one per line; one result per line out, in order.

{"id": "a", "text": "..."}   ->   {"id": "a", "embedding": [...]}
{"id": "b", "text": 3}       ->   {"id": "b", "error": "..."}
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from runtime_py.errors import ArgumentError, BundleRuntimeError, shown

Answers = Callable[[Sequence[dict[str, Any]]], Iterable[dict[str, Any]]]
Errors = tuple[type[Exception], ...]

ITEM_ERRORS: Errors = (BundleRuntimeError, OSError)
"""What the answer to one line may raise without an end of the batch."""


@dataclass(frozen=True)
class Line:
    """A line of the input.

    Attributes:
        number: from 1, empty lines counted.
        data: its object; None if it is wrong.
        error: what is wrong.
    """

    number: int
    data: dict[str, Any] | None = None
    error: BundleRuntimeError | None = None


def add_batch(parser: argparse.ArgumentParser, example: str) -> None:
    """Add ``--batch`` and ``--out``.

    Args:
        example: an object of the input, such as ``{"id": 1, "text": "..."}``.
    """
    parser.add_argument("--batch", metavar="FILE.jsonl",
                        help=f"a JSON object per line, as {example}; "
                        "- is standard input")  # fmt: skip
    parser.add_argument("--out", metavar="FILE.jsonl",
                        help="where its results go; default: standard output")  # fmt: skip


def each(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Answers:
    """The answers of a function that takes one object."""
    return lambda group: (answer(data) for data in group)


def run_batch(
    options: argparse.Namespace, answers: Answers, *, needs: Sequence[str] = (),
    takes: Sequence[str] | None = None, group: int = 1, errors: Errors = ITEM_ERRORS,
) -> int:  # fmt: skip
    """Answer each line of ``--batch``; each result is written when it and those before it are
    ready, and begins with the line's ``id`` if it has one. A line that fails gets ``error``.

    Args:
        answers: the results of a group of objects, in their order. If it raises one of
            ``errors``, the objects without a result are answered one at a time.
        needs: keys that each object must have.
        takes: keys that it may have beside these and ``id``; None: any.
        group: most objects that ``answers`` takes at once.

    Returns:
        The exit code: 0, or 1 if a line failed.

    Raises:
        ArgumentError: a file cannot be opened, or both are the same.
    """
    if options.out is not None and _same(options.out, options.batch):
        raise ArgumentError("--out names the file of --batch", fix="name another file")
    failed = False
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_opened(options.batch, "r"))
        total = _count(options.batch)
        out = stack.enter_context(_opened(options.out or "-", "w"))
        progress = stack.enter_context(_Progress(total))
        for lines in _groups(parsed(source, needs, takes), group):
            for line, result in _results(lines, answers, errors):
                failed |= "error" in result
                named = {"id": line.data["id"]} if line.data and "id" in line.data else {}
                named = {"line": line.number} if not named and "error" in result else named
                out.write(json.dumps({**named, **result}, ensure_ascii=False) + "\n")
                out.flush()
                progress.step("error" in result)
    return int(failed)


def parsed(
    source: Iterable[str], needs: Sequence[str] = (), takes: Sequence[str] | None = None
) -> Iterator[Line]:
    """The lines of a file that are not empty, as objects or with what is wrong with them."""
    for number, text in enumerate(source, 1):
        if text.strip():
            yield _parsed(number, text, needs, takes)


def _parsed(number: int, text: str, needs: Sequence[str], takes: Sequence[str] | None) -> Line:
    where = f"line {number}"
    try:
        data = json.loads(text)
        # Bytes that are no UTF-8, or an escape of half a character, which no tokenizer takes.
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Line(number, error=ArgumentError(f"{where} is no UTF-8", fix="convert the file"))
    except (ValueError, RecursionError) as error:
        wrong = ArgumentError(f"{where} is no JSON: {error}", fix="write one object per line")
        return Line(number, error=wrong)
    if not isinstance(data, dict):
        wrong = ArgumentError(f"{where} is no JSON object but {shown(data)}")
        return Line(number, error=wrong)
    missing = [key for key in needs if key not in data]
    if missing:
        keys = ", ".join(repr(key) for key in missing)
        return Line(number, data, ArgumentError(f"{where} has no {keys}"))
    known = ("id", *needs, *(takes or ()))
    unknown = [] if takes is None else [key for key in data if key not in known]
    if unknown:
        names = ", ".join(shown(key) for key in unknown)
        wrong = ArgumentError(f"{where} has keys that are not known: {names}",
                              fix=f"a line may have {', '.join(known)}")  # fmt: skip
        return Line(number, data, wrong)
    return Line(number, data)


def _results(
    lines: Sequence[Line], answers: Answers, errors: Errors
) -> Iterator[tuple[Line, dict[str, Any]]]:
    good = [line.data for line in lines if line.error is None and line.data is not None]
    found: list[dict[str, Any]] = []
    with contextlib.suppress(*errors):
        for result in answers(good) if good else ():
            found.append(result)
    done = 0
    for line in lines:
        if line.error is not None:
            yield line, _error(line.error)
            continue
        result = found[done] if done < len(found) else _single(good[done], answers, errors)
        done += 1
        yield line, result


def _single(data: dict[str, Any], answers: Answers, errors: Errors) -> dict[str, Any]:
    try:
        return next(iter(answers([data])))
    except errors as error:
        return _error(error)


def _error(error: Exception) -> dict[str, Any]:
    what = getattr(error, "what", None) or str(error) or type(error).__name__
    where, fix = getattr(error, "where", None), getattr(error, "fix", None)
    if where and str(where) not in what:
        what = f"{what} ({where})"
    return {"error": f"{what}; {fix}" if fix else what}


def _groups(lines: Iterator[Line], size: int) -> Iterator[list[Line]]:
    while group := list(islice(lines, size)):
        yield group


def _same(one: str, other: str) -> bool:
    """Whether two names are of one file, which would be emptied before it is read; "-" is none."""
    if "-" in (one, other):
        return False
    try:
        return Path(one) == Path(other) or Path(one).samefile(other)
    except (OSError, ValueError):  # there is none yet
        return False


@contextlib.contextmanager
def _opened(name: str, mode: str) -> Iterator[IO[str]]:
    if name == "-":
        if mode == "r" and isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")
        yield sys.stdin if mode == "r" else sys.stdout
        return
    try:
        file = Path(name).open(mode, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    except OSError as error:
        verb = "read" if mode == "r" else "written"
        raise ArgumentError(f"{name} cannot be {verb}: {error.strerror}") from None
    with file:
        yield file


def _count(name: str) -> int | None:
    """Lines of a file that are not empty; None where they can be read only once."""
    if name == "-" or not Path(name).is_file():
        return None
    with open(name, "rb") as file:
        return sum(1 for line in file if line.strip())


class _Progress(contextlib.AbstractContextManager["_Progress"]):
    """Lines that are done, on standard error if that is a terminal."""

    def __init__(self, total: int | None) -> None:
        self._of = "" if total is None else f"/{total}"
        self._shown = sys.stderr.isatty()
        self._done = self._failed = 0
        self._start, self._next = time.monotonic(), 0.0

    def step(self, failed: bool) -> None:
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + 0.1
            self._print(now)

    def _print(self, now: float) -> None:
        rate = self._done / max(now - self._start, 1e-9)
        failed = f", {self._failed} failed" if self._failed else ""
        text = f"\r\x1b[K{self._done}{self._of}{failed}, {rate:.1f} lines/s"
        print(text, end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._print(time.monotonic())
            print(file=sys.stderr, flush=True)
