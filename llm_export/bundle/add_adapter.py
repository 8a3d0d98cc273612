"""Add an adapter to a finished bundle."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from llm_export.bundle.adapter_file import Layout
from llm_export.bundle.adapter_tokenizer import of_folder, write_own
from llm_export.bundle.adapters import BASE, adapter_name, file_of, write_adapter
from llm_export.bundle.manifest import Manifest
from llm_export.bundle.write import entry_of, write_manifest
from llm_export.checkpoints.adapter import read_adapter
from llm_export.errors import BundleError, InputError, RecipeError, bundle_errors
from llm_export.files import replacing
from llm_export.models.lora import fitted
from llm_export.output.place import Named
from llm_export.output.seal import foreign_part, is_sealed, write_seal
from llm_export.output.undone import undone_on_failure
from llm_export.output.working import one_writer
from llm_export.resolve.recipe import ResolvedRecipe
from runtime_py.bundle import MANIFEST, Bundle
from runtime_py.errors import BundleRuntimeError
from runtime_py.program import Program


def adapt(bundle: Path, resolved: ResolvedRecipe, folder: Path, name: str | None = None) -> str:
    """Add the adapter in ``folder`` to the bundle, in the layout of its program, with the chat
    template and the end-of-sequence token that the folder has.

    Args:
        resolved: the bundle's own recipe.
        name: name of the adapter; None derives it from the folder's name.

    Returns:
        The adapter's name in the bundle.

    Raises:
        BundleError: the bundle is damaged, or was exported without separate adapters.
        InputError, CheckpointError: the adapter cannot be read, or does not fit the program or
            its vocabulary.
        VerificationError: the C++ tokenizer does not take the adapter's tokenizer.
        RecipeError: the name is taken or not a name.
        MissingDependencyError: a run is replacing the bundle.
    """
    with one_writer(bundle.resolve(), Named("the bundle")):
        sealed = is_sealed(bundle) and foreign_part(bundle) is None
        with undone_on_failure(bundle):
            added = _adapt(bundle, resolved, folder, name)
        if sealed:
            write_seal(bundle)
        return added


def _adapt(bundle: Path, resolved: ResolvedRecipe, folder: Path, name: str | None) -> str:
    recipe = resolved.recipe
    with bundle_errors():
        opened = Bundle.open(bundle)
    manifest = Manifest.from_dict(opened.manifest, str(bundle / MANIFEST))
    layout_file = opened.file("adapter_layout")
    if manifest.adapters is None or layout_file is None:
        raise BundleError(
            "the bundle keeps no adapter separate from its program",
            where=str(bundle),
            fix="export it with checkpoint.adapter=FOLDER checkpoint.adapter_mode=separate",
        )
    if not folder.is_dir():
        raise InputError(
            "there is no such adapter folder", where=str(folder),
            fix="give the folder that PEFT's save_pretrained wrote",
        )  # fmt: skip
    name = _free_name(manifest.adapters, name or adapter_name(folder.absolute().name))
    layout = Layout.read(layout_file)
    facts = {**recipe.model.config, "model_type": recipe.model.family}
    pairs = fitted(read_adapter(folder, facts), layout.capacity)
    compare = recipe.verify.enabled and recipe.verify.tokenizer
    assets, entry = of_folder(bundle, manifest, BASE, folder, ends=layout.ends, compare=compare)
    file = bundle / file_of(name)
    with replacing(file) as partial:
        write_adapter(partial, resolved, layout.places, pairs)
        _require_loads(opened, resolved, partial)
    own = write_own(bundle, manifest, name, assets, entry)
    others = manifest.adapter_tokenizers
    written = [file_of(name), *({} if own is None else own.roles).values()]
    manifest = replace(
        manifest,
        adapters={**manifest.adapters, name: file_of(name)},
        adapter_tokenizers=others if own is None else {**(others or {}), name: own},
        files={**manifest.files, **{each: entry_of(bundle / each) for each in written}},
    )
    write_manifest(bundle, manifest)
    return name


def _free_name(taken: Collection[str], name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise RecipeError(f"'{name}' is no name for an adapter", where="--name",
                          fix="letters, digits, dots, dashes and underscores")  # fmt: skip
    if name in taken:
        raise RecipeError(f"the bundle has an adapter '{name}' already", where="--name",
                          fix="--name ANOTHER_NAME")  # fmt: skip
    return name


def _require_loads(bundle: Bundle, resolved: ResolvedRecipe, weights: Path) -> None:
    """Run one token, so that a file that the runtime rejects is not added to the bundle."""
    program, facts = bundle.file("program"), bundle.manifest["program"]
    if program is None or resolved.obstacle_to_running():
        return
    try:
        loaded = Program.of_manifest(program, facts, weights)
        loaded.step([0])
    except BundleRuntimeError as error:
        raise BundleError(
            f"the program does not take the adapter: {error.what}", where=error.where
        ) from None
