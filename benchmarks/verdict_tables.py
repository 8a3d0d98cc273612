"""Verdicts on the generic tier for types of transformers' models: a line for each, and the tables
of ``docs/generic-models.md``.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Protocol, TypeVar

PAGE = Path(__file__).parents[1] / "docs" / "generic-models.md"


class Verdict(Protocol):
    """Attributes:
    errors: relative, of logits; empty where there is a reason.
    """

    @property
    def word(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def errors(self) -> tuple[float, ...]: ...


V = TypeVar("V", bound=Verdict)


def tell(
    known: Iterable[str],
    verdict: Callable[[str], V],
    row: Callable[[str, V], list[str]],
    mark: str,
) -> None:
    """Print the verdicts on the types that the command line names; without any, on those that are
    known, of which the page gets the table.

    Args:
        row: notes on a type for the table: the largest error or a short reason, and what follows.
        mark: the table's place in the page.
    """
    warnings.filterwarnings("ignore")
    words, rows = {}, {}
    for model_type in sys.argv[1:] or known:
        found = verdict(model_type)
        words[model_type], rows[model_type] = found.word, row(model_type, found)
        print(line(model_type, found, rows[model_type][1:]), flush=True)
    if len(sys.argv) == 1:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(with_table(page, mark, table(words, rows)), encoding="utf-8")


def line(model_type: str, found: Verdict, notes: Iterable[str]) -> str:
    errors = ", ".join(f"{e:.0e}" for e in found.errors)
    told = ", ".join([found.reason or errors, *notes])
    return f"{model_type:28} {found.word}: {told}".replace("\n", " ")


def table(found: Mapping[str, str], notes: Mapping[str, list[str]]) -> str:
    """Markdown: counts of the words, and a row for each type."""
    counts = Counter(found.values())
    said = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    rows = [
        f"Of {len(found)} types of transformers {metadata.version('transformers')}: {said}.", "",
        "| type | verdict | largest relative error, or reason |", "|---|---|---|",
    ]  # fmt: skip
    of_types = [f"| `{kind}` | {word} | {', '.join(notes[kind])} |" for kind, word in found.items()]
    return "\n".join([*rows, *of_types])


def with_table(page: str, mark: str, made: str) -> str:
    start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    head, rest = page.split(start)
    return f"{head}{start}\n\n{made}\n\n{end}{rest.split(end)[1]}"
