"""Functions on recipes that run nothing: check, validate, predict, show, diff, explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export.api.forms import RecipeLike, as_written, compose, output_folder, words
from llm_export.config.difference import Difference, differences
from llm_export.config.renamed import announce, current_override
from llm_export.errors import RecipeError

if TYPE_CHECKING:
    from llm_export.checks.preflight import Preflight
    from llm_export.checks.problem import Problem
    from llm_export.predict.cost import Prediction
    from llm_export.runner.key_reference import KeyFacts


def check(
    recipe: RecipeLike, overrides: Sequence[str] = (), config_dir: str | None = None
) -> list[Problem]:
    """Check the rules across groups. Returns all problems; empty if the recipe is valid.

    Raises:
        RecipeError: it does not compose.
    """
    from llm_export.checks.rules import find_problems

    return find_problems(compose(recipe, overrides, config_dir).recipe)


def validate(
    recipe: RecipeLike,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    build: bool = True,
) -> Preflight:
    """Validate a recipe on this machine without starting a run; see
    ``llm_export.checks.preflight``.

    Args:
        build: whether to build the model, which imports torch.

    Raises:
        RecipeError: it does not compose.
    """
    from llm_export.checks.preflight import preflight

    found = compose(recipe, overrides, config_dir).recipe
    return preflight(found, output_folder(found), build=build)


def predict(
    recipe: RecipeLike, overrides: Sequence[str] = (), config_dir: str | None = None
) -> Prediction | None:
    """Predict time, memory and disk space of a run from tensor shapes. Returns None for models of
    the generic tier, whose shapes are not known before loading.

    Raises:
        RecipeError: it does not compose.
    """
    from llm_export.predict.cost import predict
    from llm_export.resolve.recipe import resolve

    return predict(resolve(compose(recipe, overrides, config_dir).recipe))


def show(
    recipe: RecipeLike = None, overrides: Sequence[str] = (), config_dir: str | None = None
) -> str:
    """The resolved recipe as YAML; the comments at the top give the origin of each part.

    Raises:
        RecipeError: it does not compose.
    """
    from llm_export.config.recipe_files import recipe_yaml

    composed = compose(recipe, overrides, config_dir)
    lines = [f"# recipe: {composed.origins['recipe']}"]
    for group, choice in composed.choices.items():
        origin = composed.origins[group]
        lines.append(f"# {group + ':':<11} {choice or '(in the recipe)':<16} {origin}")
    lines += [f"# override:   {override}" for override in composed.overrides]
    return "\n".join(lines) + "\n" + recipe_yaml(composed.recipe, header=False)


def diff(
    left: RecipeLike,
    right: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
) -> list[Difference]:
    """Keys whose values differ, in the order of the schema.

    Args:
        right: another recipe; None compares ``left`` with ``left`` plus the overrides.
        overrides: applied to the right side.

    Raises:
        RecipeError: one of them does not compose, or there is nothing to compare.
    """
    if right is None and not words(overrides):
        raise RecipeError(
            "two recipes, or a recipe and overrides, can be compared", where="diff",
            fix="llm-export diff RECIPE RECIPE",
        )  # fmt: skip
    other = left if right is None else right
    return differences(
        as_written(left, (), config_dir).recipe, as_written(other, overrides, config_dir).recipe
    )


def explain(key: str, config_dir: str | None = None) -> list[KeyFacts]:
    """Explain a key: its type, its default, the options that set it and the stages that read it.

    Args:
        key: a full key, a block (explains all keys below it), or the last part of keys.

    Raises:
        RecipeError: there is no such key; the message has the nearest one.
    """
    from llm_export.config.compose import Composer
    from llm_export.runner.key_reference import explain

    current, renamed = current_override(key)
    announce(renamed)
    return explain(current, Composer(None, config_dir))
