"""The error for a name that no recipe has, which may be that of an option."""

from __future__ import annotations

from typing import Protocol

from llm_export.config.library import library_names
from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError, did_you_mean


class Options(Protocol):
    """What the error needs of a composer."""

    def options(self, group: str) -> list[str]: ...


def unknown_recipe(name: str, composer: Options) -> RecipeError:
    """The error; for the name of an option it says how to choose that."""
    group = next((group for group in GROUPS if name in composer.options(group)), None)
    if group is not None:
        own = f"{group}={name}"
        fix = f"{own} backend=xnnpack quant=8da8w" if group == "model" else f"RECIPE {own}"
        return RecipeError(f"'{name}' is an option of {group}, not a recipe", fix=fix)
    fetched = [entry for entry in library_names() if entry.endswith(f"/{name}")]
    if fetched:
        return RecipeError(
            f"'{name}' is a recipe of the library", fix=f"its whole name: {' or '.join(fetched)}"
        )
    near = did_you_mean(name, composer.options(""), "llm-export ls recipes lists them")
    near = near.rstrip("?")
    return RecipeError(f"there is no recipe '{name}'", fix=f"{near}, or give a .yaml file")
