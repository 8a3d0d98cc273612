"""The manifest: what a bundle says of itself and of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_export.bundle.adapters import LAYOUT
from llm_export.config.recipe_files import lock_yaml, recipe_yaml
from llm_export.config.schema import Recipe
from llm_export.files import sha256_of, write_json, write_text
from runtime_py.bundle import MANIFEST, check_manifest

ROLES = {
    "program": "model.pte",
    "tokenizer": "tokenizer.json",
    "tokenizer_config": "tokenizer_config.json",
    "chat_template": "chat_template.jinja",
    "generation_config": "generation_config.json",
    "quant_auto": "quant_auto.yaml",
    "quant_sensitivity": "quant_sensitivity.csv",
    "recipe": "recipe.yaml",
    "lock": "recipe.lock.yaml",
    "parity": "parity.json",
    "benchmark": "benchmark.json",
    "answers": "answers.json",
    "report": "report.md",
    "adapter_layout": LAYOUT,
}
"""Role -> file name. A role whose file is not there is left out of the manifest."""


def conclude(
    folder: Path,
    manifest: dict[str, Any],
    recipe: Recipe,
    digests: Mapping[str, str],
    provenance: dict[str, Any],
) -> None:
    """Write what this run says of itself: sampling, recipe, lock, and the final manifest.

    Args:
        digests: weight file of the checkpoint -> sha256.
    """
    manifest |= {"name": recipe.name, "sampling": asdict(recipe.runtime.sampling)}
    write_json(folder / ROLES["generation_config"], _generation_config(manifest))
    write_text(folder / ROLES["recipe"], recipe_yaml(recipe))
    made = [ROLES["program"], *manifest.get("adapters", {}).values()]
    write_text(
        folder / ROLES["lock"],
        lock_yaml(
            recipe,
            provenance,
            dict(digests),
            {name: sha256_of(folder / name) for name in made},
        ),
    )
    seal(folder, manifest)


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """List the files that are there with sizes and digests, check the manifest, write it."""
    present = {role: name for role, name in ROLES.items() if (folder / name).is_file()}
    manifest["roles"] = present
    manifest["files"] = {
        name: entry_of(folder / name)
        for name in [*present.values(), *manifest.get("adapters", {}).values()]
    }
    # As the file will read: tuples become lists.
    check_manifest(json.loads(json.dumps(manifest)), MANIFEST)
    write_json(folder / MANIFEST, manifest)


def entry_of(file: Path) -> dict[str, Any]:
    """What the manifest's list of files says of one."""
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _generation_config(manifest: dict[str, Any]) -> dict[str, Any]:
    tokens, sampling = manifest["tokenizer"], manifest["sampling"]
    config: dict[str, Any] = {
        "bos_token_id": tokens["bos_id"],
        "eos_token_id": tokens["eos_ids"],
        "do_sample": sampling["temperature"] > 0,
        "max_new_tokens": sampling["max_new_tokens"],
    }
    if sampling["temperature"] > 0:
        config |= {key: sampling[key] for key in ("temperature", "top_k", "top_p")}
    return config
