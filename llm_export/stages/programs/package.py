"""Package the program of a task as a bundle that a runtime can load."""

from __future__ import annotations

from llm_export.backends.methods import FORWARD
from llm_export.bundle.manifest import (
    Manifest,
    ProgramEntry,
    SamplingEntry,
    TaskEntry,
)
from llm_export.bundle.roles import ROLES
from llm_export.bundle.write import seal, write_tokenizer
from llm_export.config.schema import filled
from llm_export.files import write_text
from llm_export.models.task import task_options
from llm_export.pipeline.program_artifacts import ProgramLowered, ProgramPackaged
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.selective_build.operators import selected_operators
from llm_export.stages.new_manifest import new_manifest


def package(artifact: ProgramLowered, resolved: ResolvedRecipe, ctx: RunContext) -> ProgramPackaged:
    """Write tokenizer and the files of preprocessing next to the program."""
    quantized, folder = artifact.quantized, ctx.bundle
    write_tokenizer(folder, quantized.source.tokenizer)
    if (operators := selected_operators(folder / ROLES["program"])) is not None:
        write_text(folder / ROLES["selected_operators"], operators)
    options = task_options(resolved.recipe)
    contract = resolved.task.load_contract()
    contract.write_files(folder, quantized.source, quantized.model, options)
    manifest = seal(folder, _manifest(artifact, resolved, options))
    size = sum(entry.bytes for entry in manifest.files.values())
    ctx.note(files=list(manifest.files), bytes=size, summary=f"{size / 1e6:.1f} MB")
    return ProgramPackaged(folder, manifest, quantized)


def _manifest(artifact: ProgramLowered, resolved: ResolvedRecipe, options: object) -> Manifest:
    recipe, quantized = resolved.recipe, artifact.quantized
    model, source = quantized.model, quantized.source
    methods = tuple(m.name for m in model.methods(options, dynamic=resolved.methods.dynamic))
    length = filled(recipe.runtime.context_length)
    program = ProgramEntry(
        methods=methods,
        context_length=length,
        prefill_length=length,
        dynamic_shapes=resolved.methods.dynamic,
        steps={FORWARD if FORWARD in methods else methods[-1]: length},
        kv_cache=False,
        vocab_size=source.metadata.vocab_size,
        logits="none",
    )
    task = TaskEntry(resolved.task.name, model.settings(options))
    return new_manifest(
        recipe, source, artifact.delegation, program, sampling=SamplingEntry(), task=task
    )
