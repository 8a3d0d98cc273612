"""Export a graph for each method of a task's model."""

from __future__ import annotations

from collections.abc import Sequence

from llm_export.config.schema import filled
from llm_export.models.programs.method import Method
from llm_export.models.task import task_options
from llm_export.pipeline.artifacts import ProgramConstant
from llm_export.pipeline.program_artifacts import ProgramExported, ProgramQuantized
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.export import operations
from llm_export.stages.lowering.method_graphs import MethodGraphs, method_graphs, no_repetition
from llm_export.stages.lowering.model_schema import METHOD as SCHEMA
from llm_export.stages.lowering.model_schema import model_schema


def export(
    artifact: ProgramQuantized, resolved: ResolvedRecipe, ctx: RunContext
) -> ProgramExported:
    """Run ``torch.export`` for each method."""
    model, options = artifact.model, task_options(resolved.recipe)
    methods = model.methods(options, dynamic=resolved.methods.dynamic)
    made = graphs_of(methods, resolved, ctx)
    programs = made.programs
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
    return ProgramExported(programs, methods, constants, artifact, made.plans, made.whole)


def graphs_of(
    methods: Sequence[Method], resolved: ResolvedRecipe, ctx: RunContext, because: str = ""
) -> MethodGraphs:
    """
    Args:
        because: why all layers are captured; else few are where they repeat.
    """
    because = because or no_repetition(resolved)
    return method_graphs(
        methods, lambda method: because, lambda done: ctx.progress(done, len(methods))
    )
