"""What template engines make of a bundle's chat template, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export import api
from llm_export.cli.layout import beside
from llm_export.cli.runtime_args import printable

if TYPE_CHECKING:
    from llm_export.template_engines.compare import EngineRow

_NAME = 30
"""Columns of the names of engines that no check runs."""


def print_templates(bundle: str, *, quiet: bool) -> int:
    """Print a line for each engine, and the differences of the template for apps.

    Returns:
        The exit code: 2 if an engine that was tried renders a conversation in another way.
    """
    from llm_export.template_engines import NOT_TRIED

    rows = api.compare_templates(bundle)
    differs = [row for row in rows if row.results and row.results[-1].failed]
    width = max(len(row.title) for row in rows)
    for row in rows:
        if not quiet or row in differs:
            print(f"{row.title:<{width}}  {_words(row)}")
        for one in row.results[-1].failed if row.results else ():
            print(f"  {one.conversation}: {printable(one.found)}")
    if not quiet:
        print()
        for name, why in NOT_TRIED.items():
            print("\n".join(beside(f"no check runs {name}:", why, _NAME)))
    return 2 if differs else 0


def _words(row: EngineRow) -> str:
    if row.missing is not None:
        return f"not tried: {row.missing.reason}; {row.missing.fix}"
    original, app = row.results[0], row.results[-1]
    text = f"{row.version:<8} {app.same} of {app.of} conversations as Jinja2"
    if original.same != app.same:
        text += f"; {original.same} with chat_template.jinja"
    return text
