"""Write a bundle's manifest and metadata files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path

from llm_export.bundle.lock import Provenance, lock_yaml
from llm_export.bundle.manifest import FileEntry, Manifest
from llm_export.bundle.roles import ROLES
from llm_export.checkpoints.folder_writer import tokenizer_config
from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.schema import Recipe
from llm_export.files import sha256_of, write_json, write_text
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.cpp_compatible import to_cpp_compatible
from llm_export.tokenizers.generation import SamplingSettings
from runtime_py.bundle import MANIFEST, check_manifest


def write_tokenizer(folder: Path, assets: TokenizerAssets) -> None:
    """Write tokenizer and chat templates, where transformers looks for them."""
    write_text(folder / ROLES["tokenizer"], to_cpp_compatible(assets.tokenizer_json).text)
    write_json(folder / ROLES["tokenizer_config"], tokenizer_config(assets))
    templates = {
        "chat_template": assets.chat_template,
        "tool_use_template": assets.tool_use_template,
    }
    for role, template in templates.items():
        if template:
            file = folder / ROLES[role]
            file.parent.mkdir(exist_ok=True)
            write_text(file, template)


def conclude(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    stated: Recipe,
    digests: Mapping[str, str],
    provenance: Provenance,
) -> Manifest:
    """Write the metadata of this run: sampling parameters, recipe, lock and manifest. The recipe's
    sampling parameters precede those that the manifest has from the checkpoint.

    Args:
        recipe, stated: with a value for each key, and as it was composed.
        digests: weight file of the checkpoint -> sha256.
    """
    own = {k: v for k, v in asdict(recipe.runtime.sampling).items() if v is not None}
    manifest = replace(manifest, name=recipe.name, sampling=replace(manifest.sampling, **own))
    write_json(folder / ROLES["generation_config"], _generation_config(manifest))
    write_text(folder / ROLES["recipe"], recipe_yaml(stated))
    made = [ROLES["program"], ROLES["profile_map"], *(manifest.adapters or {}).values()]
    files = {name: sha256_of(folder / name) for name in made if (folder / name).is_file()}
    write_text(folder / ROLES["lock"], lock_yaml(recipe, provenance, digests, files))
    return seal(folder, manifest)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Add the sizes and digests of all files to the manifest, write it and return it."""
    present = {role: name for role, name in ROLES.items() if (folder / name).is_file()}
    names = [*present.values(), *(manifest.adapters or {}).values()]
    for own in (manifest.adapter_tokenizers or {}).values():
        names += own.roles.values()
    files = {name: entry_of(folder / name) for name in dict.fromkeys(names)}
    manifest = replace(manifest, roles=present, files=files)
    write_manifest(folder, manifest)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Check it against the schema, then write it."""
    body = manifest.as_dict()
    check_manifest(body, MANIFEST)
    write_json(folder / MANIFEST, body)


def entry_of(file: Path) -> FileEntry:
    """What the manifest's list of files says of one."""
    return FileEntry(file.stat().st_size, sha256_of(file))


def _generation_config(manifest: Manifest) -> dict[str, object]:
    tokens, sampling = manifest.tokenizer, asdict(manifest.sampling)
    known = {each.name: sampling[each.name] for each in fields(SamplingSettings)}
    return {
        "bos_token_id": tokens.bos_id,
        "eos_token_id": tokens.eos_ids,
        "max_new_tokens": sampling["max_new_tokens"],
        **SamplingSettings(**known).as_hf(),
    }
