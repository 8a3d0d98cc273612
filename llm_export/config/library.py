"""The library of fetched recipes, and the test whether a file belongs to a shared recipe."""

from __future__ import annotations

import re
from pathlib import Path

from llm_export.home import own_folder

INDEX, ORIGIN = "share.json", "origin.json"
"""A folder with one of these files holds a fetched recipe, or one packed for sharing."""
LOCK = "recipe.lock.yaml"
_WORD = r"[A-Za-z0-9][\w.+=,-]{0,200}"
_NAME = re.compile(f"{_WORD}/{_WORD}(/{_WORD})?")


def library_folder() -> Path:
    """$XDG_DATA_HOME/llm_export/recipes; XDG_DATA_HOME defaults to ~/.local/share."""
    return own_folder(".local/share", "XDG_DATA_HOME") / "recipes"


def is_shared(file: Path) -> bool:
    """Whether a recipe file belongs to a shared recipe, for which paths and options are
    restricted."""
    # Check the folder of the path itself, and that of the target of a link.
    for folder in (file.parent, file.resolve().parent):
        if (folder / INDEX).is_file() or (folder / ORIGIN).is_file():
            return True
    return library_folder().resolve() in (*file.resolve().parents, *file.absolute().parents)


def library_recipe(name: str) -> Path | None:
    """The file of ``AUTHOR/NAME`` or ``AUTHOR/NAME/RECIPE`` in the library; None if there is none.

    ``AUTHOR/NAME/recipe.lock`` is the recipe's lock.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        return None
    author, entry, *rest = name.split("/")
    lock = library_folder() / author / entry / LOCK
    if rest == [Path(LOCK).stem] and lock.is_file():
        return lock
    recipes = recipes_in(library_folder() / author / entry)
    wanted = rest[0] if rest else entry
    for recipe in recipes:
        if recipe.stem == wanted:
            return recipe
    return recipes[0] if len(recipes) == 1 and not rest else None


def recipes_in(folder: Path) -> list[Path]:
    """The recipe files in a folder, without locks."""
    if not folder.is_dir():
        return []
    found = [p for p in sorted(folder.iterdir()) if p.suffix in (".yaml", ".yml") and p.is_file()]
    return [p for p in found if not p.name.endswith(".lock.yaml")]


def library_names(folder: Path | None = None) -> list[str]:
    """``AUTHOR/NAME`` of every entry of the library."""
    root = folder or library_folder()
    return sorted(
        f"{entry.parent.name}/{entry.name}"
        for entry in root.glob("*/*")
        if (entry / ORIGIN).is_file()
    )
