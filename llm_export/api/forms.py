"""A recipe in either form: what names one, or one that is composed already."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import llm_export.plugins_registration  # noqa: F401 - registries that plugins add to
from llm_export.config.compose import BASE, Composer, require_name
from llm_export.config.composed import Composed
from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.schema import GROUPS, Recipe
from llm_export.errors import LlmExportError, RecipeError
from llm_export.resolve.auto_model import default_name, resolve_model

OUTPUTS = Path("outputs")
RecipeLike = str | Path | Recipe | Composed | None
"""A shipped recipe's name, a YAML file, None for the defaults, or a recipe as an object."""
_PYTHON = "a recipe made in Python"


def compose(
    recipe: RecipeLike = None, overrides: Sequence[str] = (), config_dir: str | None = None
) -> Composed:
    """Compose a recipe with Hydra overrides.

    With model=auto the checkpoint is read (and fetched if need be), and the recipe returned
    spells out what it says.

    Args:
        recipe: name, YAML file, None for the defaults, or a recipe that is composed already;
            overrides apply to each of these.
        config_dir: a further folder with options and recipes.

    Raises:
        RecipeError: what is wrong, where, and the nearest name.
        InputError, MissingDependencyError: with model=auto, what is wrong with the checkpoint.
    """
    return resolve(as_written(recipe, overrides, config_dir))


def resolve(composed: Composed) -> Composed:
    """The same with model=auto resolved; nothing changes where it was not chosen."""
    return replace(composed, recipe=resolve_model(composed.recipe))


def output_folder(recipe: Recipe | Composed) -> Path:
    """``out``, or outputs/<name>."""
    recipe = recipe.recipe if isinstance(recipe, Composed) else recipe
    return Path(recipe.out) if recipe.out else OUTPUTS / recipe.name


def as_written(
    recipe: RecipeLike, overrides: Sequence[str] = (), config_dir: str | None = None
) -> Composed:
    """The recipe composed, with model=auto as it stands.

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
    """(name or file, overrides) from which ``Composer`` makes the recipe while this is open.

    A composed recipe is made from its own source, where values refer to one another; one that was
    changed since, or resolved from model=auto, from a file of its values.
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
    """Both, of a key that both say the later one."""
    keys = {_key(override) for override in overrides}
    return [*(override for override in before if _key(override) not in keys), *overrides]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def source_word(recipe: str | Path | None) -> str | None:
    """A path keeps its folder in the word, so that it is not taken for a recipe's name.

    Raises:
        RecipeError: it is of another type.
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
        RecipeError: it is one string, which would be taken letter by letter.
    """
    if isinstance(overrides, str):
        raise RecipeError(
            "overrides are a list", where=f"overrides={overrides!r}", fix=f"[{overrides!r}]"
        )
    return list(overrides)


def quoted(value: str | Path) -> str:
    """A value of an override, as Hydra's grammar takes any text."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _composed(recipe: Recipe) -> Composed:
    if recipe.name == "???":
        recipe = replace(recipe, name=default_name(recipe))
    require_name(recipe)
    origins = dict.fromkeys(("recipe", *GROUPS), _PYTHON)
    return Composed(recipe, dict.fromkeys(GROUPS), origins)
