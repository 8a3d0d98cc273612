"""Lower the graphs of a task's model to a .pte file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, cast

from torch import nn

from llm_export.bundle.roles import ROLES
from llm_export.compat.light_graphs import light_graphs
from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.compat.trace_caches import forget_traces
from llm_export.compat.versions import lowering_untested
from llm_export.layer_reuse import LayersDiffer
from llm_export.layer_reuse.to_executorch import to_executorch
from llm_export.models.programs.method import Method
from llm_export.pipeline.artifacts import Delegation
from llm_export.pipeline.program_artifacts import ProgramExported, ProgramLowered
from llm_export.pipeline.stage import RunContext
from llm_export.profile.graph_map import profile_map
from llm_export.profile.profile_map import PROFILE_MAP
from llm_export.quant.blocks import one_thread
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.lower import require_size
from llm_export.stages.lowering.dedup_constants import share_constants
from llm_export.stages.lowering.delegation import (
    delegation_of,
    require_delegated,
    with_program_facts,
)
from llm_export.stages.lowering.to_edge import Completion, executorch_config, to_edge
from llm_export.stages.programs.export import graphs_of


def lower(artifact: ProgramExported, resolved: ResolvedRecipe, ctx: RunContext) -> ProgramLowered:
    """Partition, delegate, plan memory, and write the program.

    Raises:
        PostConditionError: heavy operators stayed outside of delegates, or the file is larger
            than the rules predict; the recipe may allow either.
    """
    recipe, quantized = resolved.recipe, artifact.quantized
    with ExitStack() as stack:
        stack.enter_context(any_number_of_rows())
        if not lowering_untested():
            stack.enter_context(light_graphs())
        stack.enter_context(one_thread())
        for backend in resolved.backends:
            stack.enter_context(backend.lowering_context(resolved))
        try:
            program, delegation = _lowered(artifact, resolved)
        except LayersDiffer as reason:
            made = graphs_of(artifact.methods, resolved, ctx, str(reason))
            artifact = replace(artifact, programs=made.programs, plans={}, whole=made.whole)
            program, delegation = _lowered(artifact, resolved)
    path = ctx.bundle / ROLES["program"]
    with path.open("wb") as file:
        program.write_to_file(file)
    within = {each.name: _holder(each, quantized.model) for each in artifact.methods}
    layers = {name: plan.path for name, plan in artifact.plans.items()}
    mapped = profile_map(program, artifact.programs, quantized.choices, layers, within)
    mapped.write(ctx.bundle / PROFILE_MAP)
    untested = lowering_untested()
    if not untested:
        forget_traces()
    shared = 0 if untested else share_constants(path)
    size, predicted = path.stat().st_size, quantized.predicted_bytes
    ctx.note(
        delegation={
            "subgraphs": delegation.subgraphs,
            "subgraphs_by_backend": delegation.by_backend,
            "delegated_nodes": delegation.delegated_nodes,
            "backends": delegation.backends,
            "outside": delegation.outside,
        },
        operators=delegation.operators,
        layers=_layers_note(artifact),
        bytes=size,
        shared_bytes=shared,
        predicted_bytes=predicted,
        summary=f"{size / 1e6:.1f} MB, {delegation.delegated_nodes} operations in "
        f"{delegation.subgraphs} delegates",
    )
    if not recipe.quant.allow_larger_file:
        require_size(size, predicted, quantized.source.metadata.num_layers * len(artifact.programs))
    return ProgramLowered(path, delegation, quantized)


def _lowered(artifact: ProgramExported, resolved: ResolvedRecipe) -> tuple[Any, Delegation]:
    """An ExecutorchProgramManager. Raises LayersDiffer if only some layers were captured and
    cloning them is not possible.
    """
    edge = to_edge(cast(Any, artifact), resolved)
    delegation = delegation_of({name: edge.exported_program(name) for name in artifact.programs})
    if resolved.capabilities.delegates and not resolved.recipe.backend.allow_undelegated:
        require_delegated(delegation.outside, "+".join(b.name for b in resolved.backends))
    config = executorch_config(len(artifact.programs), None, Completion(resolved))
    if artifact.plans:
        modules = {each.name: each.module for each in artifact.methods}
        program, programs = to_executorch(edge, config, modules, artifact.plans)
        delegation = delegation_of(programs)
    else:
        program = edge.to_executorch(config)
    return program, with_program_facts(delegation, program)


def _layers_note(artifact: ProgramExported) -> Mapping[str, object]:
    """By method, where it names repeated layers."""
    repeated: dict[str, object] = {
        name: {"lowered": len(plan.kept), "of": plan.layers, "path": "repeated"}
        for name, plan in artifact.plans.items()
    }
    return repeated | {n: {"path": "whole", "why": why} for n, why in artifact.whole.items()}


def _holder(method: Method, model: nn.Module) -> str:
    """The attribute of a method's module that is the model; '' where it is the model itself."""
    return next((name for name, each in method.module.named_modules() if each is model), "")
