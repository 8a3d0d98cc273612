"""Other model definitions that could build a recipe's model, for fixes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError
from llm_export.models.definitions.base import Definition
from llm_export.models.task import definition_of, task_of


def or_definition(recipe: Recipe, able: Callable[[Definition], bool]) -> str:
    """ ", or model.definition=NAME" for the definitions that are ``able`` and build the model;
    empty if there are none."""
    known = task_of(recipe.model).definitions
    found = [name for name in known if able(known.get(name)) and _builds(recipe, name)]
    return "".join(f", or model.definition={name}" for name in found)


def _builds(recipe: Recipe, name: str) -> bool:
    try:
        other = replace(recipe.model, definition=name)
        definition_of(other).check(replace(recipe, model=other))
    except LlmExportError:
        return False
    return True
