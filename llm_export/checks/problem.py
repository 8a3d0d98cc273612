"""What is wrong with a recipe: one thing after the other, or all as one error."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.errors import LlmExportError, MissingDependencyError, RecipeError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, at which key, and what to change."""

    what: str
    key: str
    fix: str
    environment: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.what}\n  fix:   {self.fix}"


def raise_problems(problems: list[Problem]) -> None:
    """Raise all of them as one error; nothing if there is none.

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
