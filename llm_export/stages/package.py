"""Program -> a bundle that a runtime can load."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_export.backends import BACKENDS
from llm_export.checkpoints.base import sha256_of
from llm_export.checkpoints.folder_writer import tokenizer_config
from llm_export.checkpoints.open import describe_source
from llm_export.config.recipe_files import lock_yaml, recipe_yaml
from llm_export.config.schema import Recipe, SamplingConfig
from llm_export.config.shapes import shapes_of
from llm_export.pipeline.artifacts import Lowered, Packaged
from llm_export.pipeline.files import write_json, write_text
from llm_export.pipeline.record import utc_now
from llm_export.pipeline.stage import RunContext
from llm_export.pipeline.versions import package_versions
from llm_export.stages.adapters import LAYOUT, write_adapters
from llm_export.stages.caches import cache_entry
from llm_export.stages.phone_tokenizer import phone_tokenizer
from runtime_py.bundle import FORMAT, MANIFEST, check_manifest

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


def package(artifact: Lowered, recipe: Recipe, ctx: RunContext) -> Packaged:
    """Write tokenizer and template beside the program.

    What is of this run rather than of the program (name, sampling, recipe and lock) comes at
    the end, with the report: it changes neither the proof nor the speed.
    """
    source, folder = artifact.transformed.source, ctx.bundle
    tokens = source.tokenizer
    write_text(folder / ROLES["tokenizer"], phone_tokenizer(tokens.tokenizer_json).text)
    if tokens.chat_template:
        write_text(folder / ROLES["chat_template"], tokens.chat_template)
    write_json(folder / ROLES["tokenizer_config"], tokenizer_config(tokens))
    manifest = _manifest(artifact, recipe)
    if source.adapter is not None:
        manifest |= write_adapters(folder, recipe, source.adapter, artifact.adapter_places)
    seal(folder, manifest)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    ctx.note(files=list(manifest["files"]), bytes=size, remark=f"{size / 1e6:.1f} MB")
    return Packaged(folder, manifest, artifact.transformed, artifact.edge_check, source.digests)


def conclude(artifact: Packaged, recipe: Recipe, provenance: dict[str, Any]) -> None:
    """Write what this run says of itself: sampling, recipe, lock, and the final manifest."""
    folder, manifest = artifact.bundle, artifact.manifest
    manifest |= {"name": recipe.name, "sampling": asdict(recipe.runtime.sampling)}
    write_json(folder / ROLES["generation_config"], _generation_config(manifest))
    write_text(folder / ROLES["recipe"], recipe_yaml(recipe))
    made = [ROLES["program"], *manifest.get("adapters", {}).values()]
    write_text(
        folder / ROLES["lock"],
        lock_yaml(
            recipe,
            provenance,
            artifact.digests,
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


def _manifest(artifact: Lowered, recipe: Recipe) -> dict[str, Any]:
    source, runtime = artifact.transformed.source, recipe.runtime
    caches = artifact.transformed.model.cache_facts()
    tokens, shapes = source.tokenizer, shapes_of(recipe)
    dtype = BACKENDS.get(recipe.backend.name).capabilities.token_dtype
    versions = package_versions()
    return {
        "format": FORMAT,
        "name": "",
        "created": utc_now(),
        "producer": versions,
        "model": {
            "name": recipe.model.name,
            "family": recipe.model.family,
            "checkpoint": describe_source(recipe.checkpoint),
            "parameters": source.parameters,
        },
        "program": {
            "methods": list(shapes.methods),
            "context_length": runtime.context_length,
            "prefill_length": shapes.prefill_length,
            "dynamic_shapes": shapes.dynamic,
            "steps": shapes.methods,
            **({"token_dtype": dtype} if dtype != "int64" else {}),
            "kv_cache": "cache_io" not in caches,
            "vocab_size": source.facts.vocab_size,
            "logits": runtime.logits.value,
            "cache": cache_entry(artifact.transformed.model),
            **caches,
        },
        "tokenizer": {
            "bos_id": tokens.bos_id,
            "eos_ids": list(tokens.eos_ids),
            "add_bos": tokens.add_bos,
            "special_tokens": dict(tokens.special_tokens),
            "normalization": "NFC" if phone_tokenizer(tokens.tokenizer_json).nfc else None,
        },
        "sampling": asdict(SamplingConfig()),
        "requires": {
            "executorch": versions["executorch"],
            "backends": list(artifact.delegation.backends),
            "operators": list(artifact.delegation.operators),
        },
        "proof": {"verified": False, "reason": "not verified yet"},
        "roles": {},
        "files": {},
    }


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
