"""Recipe arguments: a recipe's name or file, or an already composed recipe."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import llm_export.plugins_registration  # noqa: F401 - registries that plugins add to
from llm_export.config.compose import BASE, Composer
from llm_export.config.composed import Composed
from llm_export.config.quoting import quoted
from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.schema import GROUPS, Recipe
from llm_export.config.settled import require_name
from llm_export.errors import LlmExportError, RecipeError
from llm_export.home import expanded
from llm_export.resolve.auto_model import default_name, resolve_model

OUTPUTS = Path("outputs")
RecipeLike = str | Path | Recipe | Composed | None
"""A shipped recipe's name, a YAML file, None for the defaults, or a recipe as an object."""
_PYTHON = "a recipe made in Python"


def compose(
    recipe: RecipeLike = None, overrides: Sequence[str] = (), config_dir: str | None = None
) -> Composed:
    """Compose a recipe with Hydra overrides.

    With model=auto the checkpoint is read (and downloaded if necessary), and the returned recipe
    holds the model config found in it.

    Args:
        recipe: name, YAML file, None for the defaults, or an already composed recipe.
        overrides: Hydra overrides, applied to the recipe.
        config_dir: a further folder with options and recipes.

    Raises:
        RecipeError: the recipe or an override is wrong.
        InputError, MissingDependencyError: with model=auto, the checkpoint cannot be read.
    """
    return resolve(as_written(recipe, overrides, config_dir))


def resolve(composed: Composed) -> Composed:
    """Resolve model=auto; other recipes are returned unchanged."""
    return replace(composed, recipe=resolve_model(composed.recipe))


def output_folder(recipe: Recipe | Composed) -> Path:
    """The output folder of a recipe: ``out``, or outputs/<name>."""
    recipe = recipe.recipe if isinstance(recipe, Composed) else recipe
    return expanded(recipe.out) if recipe.out else OUTPUTS / recipe.name


def as_written(
    recipe: RecipeLike, overrides: Sequence[str] = (), config_dir: str | None = None
) -> Composed:
    """Compose a recipe without resolving model=auto.

    Raises:
        RecipeError: as ``compose``.
    """
    if not isinstance(recipe, Recipe | Composed):
        return Composer(source_word(recipe), config_dir).compose(words(overrides))
    made = recipe if isinstance(recipe, Composed) else _composed(recipe)
    if not words(overrides):
        return made
    with source_of(made, config_dir) as (source, before):
        found = Composer(source, config_dir).compose(later(before, overrides))
    choices = {g: found.choices[g] or made.choices.get(g) for g in GROUPS}
    origins = {
        part: found.origins[part] if found.choices.get(part) else made.origins.get(part, _PYTHON)
        for part in ("recipe", *GROUPS)
    }
    said = later(made.overrides, overrides)
    return replace(found, choices=choices, origins=origins, overrides=said)


@contextlib.contextmanager
def source_of(
    recipe: RecipeLike, config_dir: str | None = None
) -> Iterator[tuple[str | None, list[str]]]:
    """Context manager: yield (name or file, overrides) from which ``Composer`` composes the recipe.

    For a composed recipe that is its original source, which keeps interpolations between values.
    If the recipe was changed since, or resolved from model=auto, it is a temporary file with all
    its values.
    """
    if not isinstance(recipe, Recipe | Composed):
        yield source_word(recipe), []
        return
    made = recipe if isinstance(recipe, Composed) else _composed(recipe)
    source = None if made.origins["recipe"] == BASE else made.origins["recipe"]
    if isinstance(recipe, Composed) and _is_made_from(source, made, config_dir):
        yield source, list(made.overrides)
        return
    with tempfile.TemporaryDirectory(prefix="llm_export-recipe-") as scratch:
        file = Path(scratch) / f"{made.recipe.name}.yaml"
        file.write_text(recipe_yaml(made.recipe), encoding="utf-8")
        yield str(file), [] if made.recipe.out is None else [f"out={quoted(made.recipe.out)}"]


def _is_made_from(source: str | None, made: Composed, config_dir: str | None) -> bool:
    try:
        return Composer(source, config_dir).compose(made.overrides).recipe == made.recipe
    except LlmExportError:
        return False


def later(before: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Concatenate overrides; a key set in both lists keeps only the later value."""
    keys = {_key(override) for override in overrides}
    return [*(override for override in before if _key(override) not in keys), *overrides]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def source_word(recipe: str | Path | None) -> str | None:
    """The recipe argument as a string. A path always includes a folder, so that it is not mistaken
    for a recipe's name.

    Raises:
        RecipeError: the argument is of another type.
    """
    if recipe is None or isinstance(recipe, str):
        return recipe
    if isinstance(recipe, Path):
        return str(recipe) if len(recipe.parts) > 1 else f"./{recipe}"
    raise RecipeError(
        f"this is no recipe: {type(recipe).__name__}", where="recipe",
        fix="a recipe's name, a YAML file, or what api.compose returns",
    )  # fmt: skip


def words(overrides: Sequence[str]) -> list[str]:
    """The overrides as a list.

    Raises:
        RecipeError: ``overrides`` is one string, which would be split into letters.
    """
    if isinstance(overrides, str):
        raise RecipeError(
            "overrides are a list", where=f"overrides={overrides!r}", fix=f"[{overrides!r}]"
        )
    return list(overrides)


def _composed(recipe: Recipe) -> Composed:
    if recipe.name == "???":
        recipe = replace(recipe, name=default_name(recipe))
    require_name(recipe)
    origins = dict.fromkeys(("recipe", *GROUPS), _PYTHON)
    return Composed(recipe, dict.fromkeys(GROUPS), origins)
