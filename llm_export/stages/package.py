"""Program -> a bundle that a runtime can load."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from llm_export.bundle.adapters import write_adapters
from llm_export.bundle.manifest import ROLES, seal
from llm_export.checkpoints.folder_writer import tokenizer_config
from llm_export.checkpoints.open import describe_source
from llm_export.config.schema import SamplingConfig
from llm_export.files import write_json, write_text
from llm_export.pipeline.artifacts import Lowered, Packaged
from llm_export.pipeline.record import utc_now
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.kv_cache_size import cache_entry
from llm_export.tokenizers.cpp_compatible import to_cpp_compatible
from llm_export.versions import package_versions
from runtime_py.bundle import FORMAT


def package(artifact: Lowered, resolved: ResolvedRecipe, ctx: RunContext) -> Packaged:
    """Write tokenizer and template beside the program.

    What is of this run rather than of the program (name, sampling, recipe and lock) comes at
    the end, with the report: it changes neither the proof nor the speed.
    """
    source, folder = artifact.transformed.source, ctx.bundle
    tokens = source.tokenizer
    write_text(folder / ROLES["tokenizer"], to_cpp_compatible(tokens.tokenizer_json).text)
    if tokens.chat_template:
        write_text(folder / ROLES["chat_template"], tokens.chat_template)
    write_json(folder / ROLES["tokenizer_config"], tokenizer_config(tokens))
    manifest = _manifest(artifact, resolved)
    if source.adapter is not None:
        manifest |= write_adapters(folder, resolved, source.adapter, artifact.adapter_places)
    seal(folder, manifest)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    ctx.note(files=list(manifest["files"]), bytes=size, summary=f"{size / 1e6:.1f} MB")
    return Packaged(folder, manifest, artifact.transformed, artifact.edge_check, source.digests)


def _manifest(artifact: Lowered, resolved: ResolvedRecipe) -> dict[str, Any]:
    recipe = resolved.recipe
    source, runtime = artifact.transformed.source, recipe.runtime
    caches = artifact.transformed.model.cache_facts()
    tokens, methods = source.tokenizer, resolved.methods
    dtype = resolved.capabilities.token_dtype
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
            "methods": list(methods.lengths),
            "context_length": runtime.context_length,
            "prefill_length": methods.prefill_length,
            "dynamic_shapes": methods.dynamic,
            "steps": methods.lengths,
            **({"token_dtype": dtype} if dtype != "int64" else {}),
            "kv_cache": "cache_io" not in caches,
            "vocab_size": source.metadata.vocab_size,
            "logits": runtime.logits.value,
            "cache": cache_entry(artifact.transformed.model),
            **caches,
        },
        "tokenizer": {
            "bos_id": tokens.bos_id,
            "eos_ids": list(tokens.eos_ids),
            "add_bos": tokens.add_bos,
            "special_tokens": dict(tokens.special_tokens),
            "normalization": "NFC" if to_cpp_compatible(tokens.tokenizer_json).nfc else None,
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
