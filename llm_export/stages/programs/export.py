"""Export a graph for each method of a task's model."""

from __future__ import annotations

import torch

from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.config.schema import filled
from llm_export.models.task import task_options
from llm_export.pipeline.artifacts import ProgramConstant
from llm_export.pipeline.program_artifacts import ProgramExported, ProgramQuantized
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.export import operations
from llm_export.stages.lowering.model_schema import METHOD as SCHEMA
from llm_export.stages.lowering.model_schema import model_schema


def export(
    artifact: ProgramQuantized, resolved: ResolvedRecipe, ctx: RunContext
) -> ProgramExported:
    """Run ``torch.export`` for each method."""
    model, options = artifact.model, task_options(resolved.recipe)
    methods = model.methods(options, dynamic=resolved.methods.dynamic)
    programs = {}
    for number, method in enumerate(methods):
        with torch.no_grad(), any_number_of_rows():
            programs[method.name] = torch.export.export(
                method.module.eval(), method.inputs, strict=False,
                dynamic_shapes=tuple(method.dynamic) if any(method.dynamic) else None,
            )  # fmt: skip
        ctx.progress(number + 1, len(methods))
    counts = {name: operations(program) for name, program in programs.items()}
    ctx.note(
        graph_nodes=counts,
        dynamic_shapes=resolved.methods.dynamic,
        summary=", ".join(f"{name}: {count} operations" for name, count in counts.items()),
    )
    constants: dict[str, ProgramConstant] = {
        "get_max_context_len": filled(resolved.recipe.runtime.context_length),
        "get_vocab_size": artifact.source.metadata.vocab_size,
        "enable_dynamic_shape": resolved.methods.dynamic,
        SCHEMA: model_schema(programs),
        **model.constants(options),
    }
    return ProgramExported(programs, methods, constants, artifact)
