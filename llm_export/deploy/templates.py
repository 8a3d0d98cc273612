"""Render the files of a project from templates.

A target's templates are package data: a folder ``template`` in the target's package. A file whose
name ends in ``.jinja`` is rendered by Jinja2, and loses that ending; any other is copied. In paths
``__NAME__`` stands for the variable ``NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_ENDING = ".jinja"
_IN_PATH = re.compile(r"__([a-z][a-z0-9_]*?)__")


def rendered(
    package: str,
    variables: Mapping[str, object],
    *,
    folder: str = "template",
    filters: Mapping[str, Callable[..., object]] | None = None,
) -> dict[str, str | bytes]:
    """All files of a template folder: path -> content.

    Values are put in as they are: a template quotes them with a filter of its language.

    Args:
        package: that has the folder, such as ``llm_export.deploy.cpp``.
        filters: name -> function, for Jinja2.

    Raises:
        jinja2.UndefinedError: a template uses a variable that is not there.
    """
    environment = template_environment(filters or {})
    files: dict[str, str | bytes] = {}
    for path, entry in sorted(_files(resources.files(package).joinpath(folder))):
        place = _IN_PATH.sub(lambda found: str(variables[found[1]]), path)
        if place.endswith(_ENDING):
            template = environment.from_string(entry.read_text(encoding="utf-8"))
            files[place.removesuffix(_ENDING)] = template.render(variables)
        else:
            files[place] = entry.read_bytes()
    return files


def template_environment(filters: Mapping[str, Callable[..., object]]) -> Environment:
    """
    Args:
        filters: name -> function.
    """
    from jinja2 import Environment, StrictUndefined

    # Autoescape is for HTML. These are program texts in several languages, each with its filter.
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(filters)
    return environment


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _files(entry, f"{above}{entry.name}/")
        else:
            yield f"{above}{entry.name}", entry
