"""Create and copy recipe files, and generate their JSON Schema for editors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.api.forms import (
    RecipeLike,
    as_written,
    resolve,
    source_word,
    words,
)
from llm_export.api.hub_ids import is_hub_id
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.config.quoting import quoted
from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.renamed import announce, current_overrides
from llm_export.config.schema import GROUPS, Recipe
from llm_export.errors import InputError, LlmExportError, RecipeError, did_you_mean
from llm_export.files import write_text
from llm_export.home import expanded
from llm_export.output.place import Named, file_to_write

ASKED = ("model", "backend", "quant")
"""Groups for which a new recipe must choose an option."""
_AUTO = "auto"
_FILE = Named("the file")
_COMMAND = re.compile(r"\A# llm-export run .*\n")


@dataclass(frozen=True)
class RecipeFile:
    """A recipe file that was written.

    Attributes:
        command: command line that runs it.
        overrides: its differences from the defaults.
    """

    path: Path
    command: str
    overrides: tuple[str, ...] = ()


def new(
    file: str | Path,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    model: str | None = None,
    backend: str | None = None,
    quant: str | None = None,
    checkpoint: str | None = None,
    description: str = "",
    force: bool = False,
) -> RecipeFile:
    """Write a minimal recipe for a model, a backend and a quantization option, and check it.

    Args:
        checkpoint: a file, a folder, or ORG/NAME on the Hugging Face hub; without ``model``, the
            architecture is read from it when the recipe runs.
        force: replace an existing file.

    Raises:
        RecipeError: a choice is missing or wrong, or the recipe is not sound.
        InputError: the file is there already, or cannot be written.
    """
    composer = Composer(None, config_dir)
    given = {"model": model, "backend": backend, "quant": quant}
    said = recipe_words(overrides, checkpoint, **given)
    for group in missing_groups(said):
        raise RecipeError(
            f"the recipe needs a {group}", where=f"--{group}",
            fix=f"--{group} NAME; llm-export ls {group}s lists them",
        )  # fmt: skip
    path = expanded(file)
    _require_free(path, force=force)
    order = {group: place for place, group in enumerate(ASKED)}
    said.sort(key=lambda w: order.get(w.partition("=")[0], len(order)))
    if f"model={_AUTO}" in said and not any(w.startswith("checkpoint.") for w in said):
        raise RecipeError(
            f"model={_AUTO} reads the checkpoint, and none is named", where="--checkpoint",
            fix="--checkpoint FILE_OR_FOLDER_OR_HUB_ID",
        )  # fmt: skip
    _require_sound(composer, said)
    from llm_export.config.new_recipe import recipe_text

    command = command_for(path)
    write_recipe(path, recipe_text(composer, said, description, command, path.parent), force=force)
    return RecipeFile(path, command, tuple(said))


def recipe_words(
    overrides: Sequence[str] = (), checkpoint: str | None = None, **groups: str | None
) -> list[str]:
    """The overrides for these choices: options of groups, a checkpoint, and further keys."""
    current, renamed = current_overrides(words(overrides))
    announce(renamed)
    said = {key.partition("=")[0] for key in current}
    found = [f"{group}={name}" for group, name in groups.items() if name]
    if checkpoint:
        key = "hf_id" if is_hub_id(checkpoint) else "path"
        found.append(f"checkpoint.{key}={quoted(checkpoint)}")
        if not groups.get("model") and "model" not in said:
            found.insert(0, f"model={_AUTO}")
    return [*found, *current]


def missing_groups(said: Sequence[str]) -> list[str]:
    """Groups for which a new recipe must still choose an option."""
    return [g for g in ASKED if not any(word.startswith(f"{g}=") for word in said)]


def choices(group: str, said: Sequence[str] = (), config_dir: str | None = None) -> dict[str, str]:
    """The options of a group that are compatible with the choices in ``said``, with descriptions.
    Missing packages do not matter, because the recipe may be run on another machine.

    Returns:
        Option -> description.
    """
    composer = Composer(None, config_dir)
    names = composer.options(group)
    if group != "model":
        names = [n for n in names if _suits(composer, [*said, f"{group}={n}"], group)]
    return {name: composer.describe(group, name)[0] for name in names}


def cp(
    recipe: RecipeLike,
    file: str | Path,
    *,
    force: bool = False,
    config_dir: str | None = None,
) -> RecipeFile:
    """Copy a recipe to a new file for editing.

    Args:
        recipe: a recipe argument; the text of a name or file is copied with its comments.
        file: a new .yaml file, or a folder for it.
        force: replace an existing file.

    Raises:
        RecipeError: there is no such recipe.
        InputError: the file is there already, or cannot be written.
    """
    if isinstance(recipe, Recipe | Composed):
        made = as_written(recipe).recipe
        name, text = f"{made.name}.yaml", recipe_yaml(made, header=False)
    else:
        source = source_word(recipe)
        if source is None:
            raise RecipeError("nothing was named to copy", where="recipe", fix="llm-export ls")
        place = Composer(source, config_dir).place(source)
        name, text = place.name, place.read_text(encoding="utf-8")
    path = expanded(file)
    if path.is_dir():
        path /= name
    # Replace the command in the header by that of the copy.
    command = command_for(path)
    write_recipe(path, f"# {command}\n{_COMMAND.sub('', text)}", force=force)
    return RecipeFile(path, command)


def schema(group: str | None = None, config_dir: str | None = None) -> dict[str, Any]:
    """The JSON Schema of recipe files, or of the option files of a group.

    Raises:
        RecipeError: there is no such group.
    """
    from llm_export.config.json_schema import option_schema, recipe_schema

    if group is None:
        composer = Composer(None, config_dir)
        return recipe_schema({g: composer.options(g) for g in GROUPS})
    if group not in GROUPS:
        raise RecipeError(f"there is no group '{group}'", where="schema",
                          fix=did_you_mean(group, GROUPS))  # fmt: skip
    return option_schema(group)


def command_for(file: Path) -> str:
    """The command that runs a recipe's file."""
    plain = str(file) if "/" in str(file) or file.suffix in (".yaml", ".yml") else f"./{file}"
    return f"llm-export run {shlex.quote(plain)}"


def write_recipe(file: Path, text: str, *, force: bool = False) -> None:
    """Write a recipe file.

    Raises:
        InputError: it is no .yaml file, exists already, or cannot be written.
    """
    _require_free(file, force=force)
    write_file(file, text)


def _require_free(file: Path, *, force: bool) -> None:
    if file.suffix not in (".yaml", ".yml"):
        raise InputError("a recipe's file ends in .yaml", where=str(file), fix=f"{file}.yaml")
    if file_to_write(file, _FILE).exists() and not force:
        raise InputError(
            "there is such a file already", where=str(file), fix="another name, or --force"
        )


def write_file(file: Path, text: str) -> None:
    """Write a text file atomically.

    Raises:
        InputError: it is no file, or cannot be written.
    """
    try:
        write_text(file_to_write(file, _FILE), text)
    except OSError as error:
        raise InputError(
            f"the file cannot be written: {error.strerror}", where=str(file),
            fix="a folder that exists and can be written to",
        ) from None  # fmt: skip


def _suits(composer: Composer, said: Sequence[str], group: str) -> bool:
    """Whether the choices raise no problem that concerns ``group``."""
    from llm_export.checks.rules import find_problems

    if f"model={_AUTO}" in said:
        said = ["model=tiny", *(w for w in said if not w.startswith(("model=", "checkpoint.")))]
    try:
        problems = find_problems(composer.compose(said).recipe)
    except LlmExportError:
        return False
    return not any(p.key.startswith(group) and not p.environment for p in problems)


def _require_sound(composer: Composer, said: Sequence[str]) -> None:
    """Raise what ``validate`` finds wrong with the recipe. What this machine lacks does not matter,
    nor does a checkpoint that is not here yet."""
    from llm_export.checks.preflight import near, preflight
    from llm_export.checks.problem import raise_problems

    stated = composer.compose(said)
    if f"model={_AUTO}" in said and near(stated.recipe.checkpoint) is None:
        return
    recipe = resolve(stated).recipe
    found = preflight(recipe, None)
    raise_problems([p for p in found.problems if not p.environment])
