"""Raise the problems of a recipe as one error."""

from __future__ import annotations

from llm_export.errors import LlmExportError, MissingDependencyError, Problem, RecipeError


def raise_problems(problems: list[Problem]) -> None:
    """Raise all problems as one error; do nothing if there are none.

    Raises:
        RecipeError, MissingDependencyError: as ``require_sound``.
    """
    if not problems:
        return
    if len(problems) == 1:
        only = problems[0]
        raise _kind(problems)(only.what, where=only.key, fix=only.fix)
    listed = "\n".join(str(p) for p in problems)
    raise _kind(problems)(f"{len(problems)} problems:\n{listed}")


def _kind(problems: list[Problem]) -> type[LlmExportError]:
    return MissingDependencyError if all(p.environment for p in problems) else RecipeError
