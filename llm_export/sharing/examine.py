"""Check a fetched recipe for safety and show what it would do, without running anything."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from llm_export.config.compose import Composer
from llm_export.config.library import INDEX, LOCK, ORIGIN
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.errors import InputError, LlmExportError, RecipeError
from llm_export.files import write_json
from llm_export.sharing.locked import read_lock
from llm_export.sharing.members import Files


@dataclass(frozen=True)
class Found:
    """A recipe in what was fetched.

    Attributes:
        warnings: keys and values that have another name now.
    """

    file: str
    recipe: Recipe
    warnings: list[str] = field(default_factory=list)


def examine(files: Files, where: str) -> list[Found]:
    """Compose every recipe, under the rules for recipes of someone else.

    Composing imports no model, reads no checkpoint and reaches no network.

    Raises:
        InputError: there is no recipe. RecipeError: one of them is not safe or not sound.
    """
    names = [n for n in sorted(files) if n.endswith((".yaml", ".yml")) and n != LOCK]
    if not names:
        raise InputError(
            "there is no recipe", where=where,
            fix="a shared recipe has a .yaml file at its top; of a repository, give #FOLDER",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="llm_export-look-") as scratch:
        folder = Path(scratch)
        write_files(folder, files)
        if not (folder / INDEX).exists():
            write_json(folder / ORIGIN, {})  # marks the folder as someone else's
        try:
            found = [_compose(folder, name) for name in names]
            if LOCK in files:
                _compose(folder, LOCK)
                if read_lock(str(folder / LOCK)) is None:
                    raise RecipeError("this is not a lock", where=LOCK)
        except LlmExportError as error:
            named = error.where and error.where.replace(f"{folder.resolve()}/", "")
            error.where = f"{where}: {named}" if named else where
            raise
    return found


def _compose(folder: Path, name: str) -> Found:
    try:
        composed = Composer(str(folder.resolve() / name)).compose()
        return Found(name, composed.recipe, composed.warnings)
    except LlmExportError as error:
        if name not in (error.where or ""):
            error.where = f"{name}: {error.where}" if error.where else name
        raise


def write_files(folder: Path, files: Files) -> None:
    """Write files into a folder that is new; their names were checked."""
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            file.write(data)


def weights_of(source: CheckpointConfig) -> str:
    """Where a run would take the weights from, for people."""
    if source.path is not None:
        folder = "/".join(Path(source.path).parts[-2:])
        return f"yours: checkpoint.path=PATH, or as {folder} beside the recipe"
    if source.hf_id is not None:
        return f"fetched from the hub: {source.hf_id}" + (
            f"@{source.revision}" if source.revision else ""
        )
    if source.package is not None:
        return f"fetched from the package index: {source.package.name} {source.package.version}"
    if source.random_seed is not None:
        return f"random, seed {source.random_seed}"
    return "none named: give checkpoint.path=FOLDER or checkpoint.hf_id=ORG/NAME"
