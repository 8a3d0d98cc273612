"""Package the program as a bundle that a runtime can load."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from llm_export.backends.methods import VERIFY
from llm_export.bundle.adapter_tokenizer import chat_of, tokenizer_entry, write_own
from llm_export.bundle.adapters import BASE, write_adapters
from llm_export.bundle.manifest import (
    CacheEntry,
    Manifest,
    ProgramEntry,
    SamplingEntry,
    TaskEntry,
)
from llm_export.bundle.roles import ROLES
from llm_export.bundle.write import seal, write_tokenizer
from llm_export.checkpoints.lora import MergedCheckpoint
from llm_export.config.schema import filled
from llm_export.files import write_text
from llm_export.models.contract import LanguageModel
from llm_export.models.task import task_options
from llm_export.pipeline.artifacts import Lowered, Packaged
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.selective_build.operators import selected_operators
from llm_export.stages.new_manifest import new_manifest
from llm_export.stages.verification.kv_cache_size import cache_entry
from llm_export.tokenizers.fit import as_bundled


def package(artifact: Lowered, resolved: ResolvedRecipe, ctx: RunContext) -> Packaged:
    """Write tokenizer and chat template next to the program.

    Run-specific parts (name, sampling, recipe and lock) are added at the end, with the report,
    because they affect neither verification nor speed.
    """
    source, folder = artifact.transformed.source, ctx.bundle
    write_tokenizer(folder, source.tokenizer)
    beside = resolved.task.load_beside_text()
    if beside is not None:
        beside.write(folder, source.checkpoint, task_options(resolved.recipe))
    if (operators := selected_operators(folder / ROLES["program"])) is not None:
        write_text(folder / ROLES["selected_operators"], operators)
    manifest = _manifest(artifact, resolved)
    if source.adapter is not None:
        manifest = _with_adapters(artifact, resolved, folder, manifest)
    manifest = seal(folder, manifest)
    size = sum(entry.bytes for entry in manifest.files.values())
    ctx.note(files=list(manifest.files), bytes=size, summary=f"{size / 1e6:.1f} MB")
    return Packaged(folder, manifest, artifact.transformed, artifact.edge_check, source.digests)


def _with_adapters(
    artifact: Lowered, resolved: ResolvedRecipe, folder: Path, manifest: Manifest
) -> Manifest:
    """Write the adapters, and the tokenizer of the base model where the adapter changes it."""
    source = artifact.transformed.source
    assert source.adapter is not None
    ends = source.tokenizer.generation.eos_ids
    adapters = write_adapters(folder, resolved, source.adapter, artifact.adapter_places, ends)
    manifest = replace(manifest, adapters=adapters.files, default_adapter=adapters.default)
    assert isinstance(source.checkpoint, MergedCheckpoint)
    base, _ = as_bundled(source.checkpoint.base.tokenizer(), source.metadata.vocab_size)
    own = write_own(folder, seal(folder, manifest), BASE, base, tokenizer_entry(base))
    return manifest if own is None else replace(manifest, adapter_tokenizers={BASE: own})


def _manifest(artifact: Lowered, resolved: ResolvedRecipe) -> Manifest:
    source, tokens = artifact.transformed.source, artifact.transformed.source.tokenizer
    return new_manifest(
        resolved.recipe,
        source,
        artifact.delegation,
        _program(artifact, resolved),
        sampling=SamplingEntry(**asdict(tokens.generation.sampling)),
        chat=chat_of(tokens),
        task=_task(artifact, resolved),
    )


def _task(artifact: Lowered, resolved: ResolvedRecipe) -> TaskEntry | None:
    """None for the task of a bundle without an entry: to generate text."""
    beside = resolved.task.load_beside_text()
    if beside is None:
        return None
    return TaskEntry(resolved.task.name, beside.settings(artifact.transformed.model))


def _program(artifact: Lowered, resolved: ResolvedRecipe) -> ProgramEntry:
    recipe, methods = resolved.recipe, resolved.methods
    model = artifact.transformed.model
    caches = model.cache_metadata()
    dtype = resolved.capabilities.token_dtype
    return ProgramEntry(
        methods=methods.names,
        context_length=filled(recipe.runtime.context_length),
        prefill_length=methods.prefill_length,
        dynamic_shapes=methods.dynamic,
        steps=methods.steps,
        token_dtype=None if dtype == "int64" else dtype,
        kv_cache=caches.cache_io is None,
        vocab_size=artifact.transformed.source.metadata.vocab_size,
        logits=recipe.runtime.logits.value,
        verify_length=methods.lengths.get(VERIFY),
        cache=_cache(model, resolved),
        rewind=caches.rewind,
        attention_sink=caches.attention_sink,
        recurrent=caches.recurrent,
        cache_io=caches.cache_io,
        state=artifact.state,
        rope_factors=resolved.definition.rope_factors(
            recipe, filled(recipe.runtime.context_length)
        ),
    )


def _cache(model: LanguageModel, resolved: ResolvedRecipe) -> CacheEntry:
    entry, times = cache_entry(model), resolved.cache_times
    if times is None:
        return entry
    return replace(entry, measured={d.value: round(ms, 4) for d, ms in times.medians.items()})
