"""Lower the graphs of a task's model to a .pte file."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, cast

from torch import nn

from llm_export.bundle.roles import ROLES
from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.compat.trace_caches import forget_traces
from llm_export.compat.versions import lowering_untested
from llm_export.models.programs.method import Method
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


def lower(artifact: ProgramExported, resolved: ResolvedRecipe, ctx: RunContext) -> ProgramLowered:
    """Partition, delegate, plan memory, and write the program.

    Raises:
        PostConditionError: heavy operators stayed outside of delegates, or the file is larger
            than the rules predict; the recipe may allow either.
    """
    recipe, quantized = resolved.recipe, artifact.quantized
    with ExitStack() as stack:
        stack.enter_context(any_number_of_rows())
        stack.enter_context(one_thread())
        for backend in resolved.backends:
            stack.enter_context(backend.lowering_context(resolved))
        edge = to_edge(cast(Any, artifact), resolved)
        delegation = delegation_of(
            {name: edge.exported_program(name) for name in artifact.programs}
        )
        if resolved.capabilities.delegates and not recipe.backend.allow_undelegated:
            require_delegated(delegation.outside, "+".join(b.name for b in resolved.backends))
        complete = Completion(resolved)
        program = edge.to_executorch(executorch_config(len(artifact.programs), None, complete))
    delegation = with_program_facts(delegation, program)
    path = ctx.bundle / ROLES["program"]
    with path.open("wb") as file:
        program.write_to_file(file)
    within = {each.name: _holder(each, quantized.model) for each in artifact.methods}
    mapped = profile_map(program, artifact.programs, quantized.choices, within=within)
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
        bytes=size,
        shared_bytes=shared,
        predicted_bytes=predicted,
        summary=f"{size / 1e6:.1f} MB, {delegation.delegated_nodes} operations in "
        f"{delegation.subgraphs} delegates",
    )
    if not recipe.quant.allow_larger_file:
        require_size(size, predicted, quantized.source.metadata.num_layers * len(artifact.programs))
    return ProgramLowered(path, delegation, quantized)


def _holder(method: Method, model: nn.Module) -> str:
    """The attribute of a method's module that is the model; '' where it is the model itself."""
    return next((name for name, each in method.module.named_modules() if each is model), "")
