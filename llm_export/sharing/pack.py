"""Pack a recipe, or a bundle's recipe with its evidence, for others; never weights or programs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from llm_export.config.compose import Composer
from llm_export.config.library import INDEX
from llm_export.config.recipe_files import RECIPE_HEADER, resolved, self_contained
from llm_export.config.schema import Recipe
from llm_export.config.shared_recipe import path_values, set_value, task_folders
from llm_export.errors import BundleError, InputError, RecipeError
from llm_export.output.machine_paths import machine_path
from llm_export.output.place import Named, folder_to_write
from llm_export.output.working import put_in_place
from llm_export.sharing.bundle_evidence import Evidence, is_bundle, read_evidence
from llm_export.sharing.card import render_card
from llm_export.sharing.examine import examine, write_files
from llm_export.sharing.folder import read_bounded
from llm_export.sharing.index import listed, make_index
from llm_export.sharing.licences import Licence
from llm_export.sharing.members import Budget, Files

Places = dict[tuple[str, ...], str]
_TO = Named("the folder", "--to ")
_BROUGHT = {"path": "weights", "config_path": "config", "adapter": "adapter"}
"""Keys of the checkpoint -> folder beside the recipe in which to look for it. A key that was
taken out instead would leave a recipe that runs and makes something else."""


@dataclass(frozen=True)
class Packed:
    """A packed recipe.

    Attributes:
        brought: key, such as checkpoint.path -> place of what is not packed.
        left_out: evidence -> the path of this machine that it holds.
        warnings: keys and values that have another name now.
    """

    name: str
    files: Files
    brought: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def pack(
    source: str | None,
    overrides: Sequence[str],
    config_dir: str | None,
    licence: Licence,
    *,
    model_licence: str | None = None,
    target: str = "",
) -> Packed:
    """Collect the files to share for a recipe's name, a recipe file or a bundle.

    Args:
        target: ``hf:ORG/NAME`` or a folder, for the command that the card shows.

    Raises:
        RecipeError, InputError: the recipe is wrong, or names what cannot be shared.
        BundleError: the bundle is damaged.
    """
    bundle = Path(source) if source is not None and is_bundle(source) else None
    if bundle is not None and overrides:
        raise RecipeError(
            "a bundle is shared as it is", where=f"override {overrides[0]}",
            fix=f"llm-export share {bundle}/recipe.yaml with it shares a recipe without evidence",
        )  # fmt: skip
    origin = str(bundle / "recipe.yaml") if bundle is not None else source
    composed = Composer(origin, config_dir).compose(overrides)
    recipe = composed.recipe
    body, texts, places = _portable(recipe)
    with _as_written(bundle):
        evidence = Evidence({}, {}) if bundle is None else read_evidence(bundle, places)
    file = f"{recipe.name}.yaml"
    header = RECIPE_HEADER.replace("recipe.yaml", file)
    files: Files = {file: (header + self_contained(body)).encode(), **texts, **evidence.files}
    files["LICENSE"] = licence.text.encode()
    brought = {".".join(k): v for k, v in places.items() if k[0] == "checkpoint"}
    with _as_written(bundle):
        card = render_card(recipe, licence, model_licence, evidence, target, brought)
    files["README.md"] = card.encode()
    files[INDEX] = make_index(recipe.name, file, files)
    # Only share what `get` accepts.
    listed(files, recipe.name)
    examine(files, recipe.name)
    return Packed(recipe.name, files, brought, evidence.left_out, composed.warnings)


@contextlib.contextmanager
def _as_written(bundle: Path | None) -> Iterator[None]:
    """Evidence has no schema: what does not read as it was written is damage, not our mistake."""
    try:
        yield
    except (TemplateError, LookupError, TypeError, ValueError, AttributeError) as error:
        if bundle is None:
            raise
        raise BundleError(
            f"the bundle's evidence is not as it was written: {type(error).__name__}: {error}",
            where=str(bundle), fix=f"llm-export verify {bundle}",
        ) from None  # fmt: skip


def _portable(recipe: Recipe) -> tuple[dict[str, Any], Files, Places]:
    """The recipe without local paths, and the text files that it refers to."""
    body = resolved(recipe)
    texts: Files = {}
    places: Places = {}
    budget = Budget(recipe.name)
    if task_folders(body):
        raise RecipeError(
            "folders of evaluation tasks cannot be shared: they may hold code",
            where="evaluate.task_paths", fix="evaluate.task_paths=[] and evaluate.tasks=[text]",
        )  # fmt: skip
    for key, value in path_values(body):
        path = Path(value)
        if key[-1] == "text":
            name = f"texts/{'_'.join(key[:-1])}.txt"
            texts[name] = read_bounded(path, name, budget)
            places[key] = name
        elif key[-1] == "dataset":
            if path.exists() or path.is_absolute():
                raise RecipeError(
                    "a dataset on this disk cannot be shared", where=f"{'.'.join(key)}: {value}",
                    fix="one on the hub, or quant.calibration.text=FILE, which goes along",
                )  # fmt: skip
            continue
        else:
            places[key] = f"{_BROUGHT[key[-1]]}/{path.name}"
        set_value(body, key, places[key])
    _require_portable(body, "")
    return body, texts, places


def _require_portable(node: Any, key: str) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            _require_portable(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _require_portable(value, f"{key}[{index}]")
    elif isinstance(node, str) and (found := machine_path(node)) is not None:
        raise RecipeError(
            f"the recipe tells of this machine: {found}", where=f"{key}: {node[:200]}",
            fix=f"change {key}, or leave it out: {key}=... on the command line sets it",
        )  # fmt: skip


def write(packed: Packed, folder: Path) -> None:
    """Write the files to a folder atomically; an earlier pack there is replaced.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    folder = require_pack_or_nothing(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".share-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            write_files(made, packed.files)
            put_in_place(made, folder, _TO, lambda there: _require_pack(there, folder))
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror or error}", where=f"--to {folder}"
        ) from None


def require_pack_or_nothing(folder: Path) -> Path:
    """The absolute path of a folder that ``write`` may create or replace.

    Raises:
        InputError: it holds something else, or cannot be written.
    """
    full = folder_to_write(folder, _TO)
    if full.is_dir():
        _require_pack(full, full)
    return full


def _require_pack(folder: Path, shown: Path) -> None:
    if not folder.is_dir() or _foreign(folder):
        raise _TO.refuse(
            shown, "holds something that was not packed", "another folder; nothing was changed"
        )


def _foreign(folder: Path) -> bool:
    """Whether anything in a folder is not of a pack that its share.json lists."""
    from llm_export.sharing.folder import read_folder

    if not any(folder.iterdir()):
        return False
    try:
        files = read_folder(folder)
        return INDEX not in files or listed(files, str(folder))[0].keys() != files.keys()
    except InputError:
        return True
