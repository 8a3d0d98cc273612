"""Lower graphs to a .pte file, and check that the operators were delegated as the recipe
requires.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.bundle.adapter_file import Place
from llm_export.bundle.program_state import ProgramState
from llm_export.bundle.proof import ComparisonResult
from llm_export.bundle.roles import ROLES
from llm_export.compat.light_graphs import light_graphs
from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.compat.trace_caches import forget_traces
from llm_export.compat.versions import lowering_untested
from llm_export.errors import PostConditionError
from llm_export.json_data import to_json
from llm_export.layer_reuse import LayerPlan, LayersDiffer
from llm_export.models.components.lora import factor_tensors
from llm_export.pipeline.artifacts import Delegation, Exported, Lowered
from llm_export.pipeline.stage import RunContext
from llm_export.profile.graph_map import profile_map
from llm_export.profile.profile_map import PROFILE_MAP
from llm_export.quant.blocks import one_thread
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.export import whole
from llm_export.stages.lowering.dedup_constants import share_constants
from llm_export.stages.lowering.delegation import (
    delegation_of,
    require_delegated,
    with_program_facts,
)
from llm_export.stages.lowering.external_weights import ExternalWeights
from llm_export.stages.lowering.state import giving_state
from llm_export.stages.lowering.to_edge import (
    Completion,
    executorch_config,
    for_method,
    to_edge,
)
from llm_export.stages.verification.edge_methods import require_same_methods
from llm_export.stages.verification.edge_program import compare_edge

# Allowance for the graph itself besides the constants: 5% and 64 KiB per layer.
_SLACK, _PER_LAYER, _FIXED = 1.05, 1 << 16, 1 << 20


def lower(artifact: Exported, resolved: ResolvedRecipe, ctx: RunContext) -> Lowered:
    """Partition, delegate, plan memory, and write the program.

    Raises:
        PostConditionError: heavy operators stayed outside, or the file is larger than
            the rules predict; the recipe may allow either.
    """
    recipe = resolved.recipe
    with ExitStack() as stack:
        stack.enter_context(any_number_of_rows())
        if not lowering_untested():
            stack.enter_context(light_graphs())
        stack.enter_context(one_thread())  # it is Python, and packing of small matrices
        for backend in resolved.all_backends:
            stack.enter_context(backend.lowering_context(resolved))
        try:
            made = _lowered(artifact, resolved, ctx)
        except LayersDiffer as reason:
            artifact = whole(artifact, resolved, str(reason))
            made = _lowered(artifact, resolved, ctx)
    path = ctx.bundle / "model.pte"
    _write(made.program, path)
    layers = {name: plan.path for name, plan in plans_of(artifact, resolved).items()}
    matrices = artifact.transformed.choices
    mapped = profile_map(made.program, artifact.programs, matrices, layers)
    mapped.write(ctx.bundle / PROFILE_MAP)
    if recipe.backend.etrecord:
        made.program.get_etrecord().save(str(ctx.bundle / ROLES["etrecord"]))
    untested = lowering_untested()
    if not untested:
        forget_traces()
    shared = 0 if untested else share_constants(path)
    size, predicted = path.stat().st_size, artifact.transformed.predicted_bytes
    delegation = made.delegation
    facts = artifact.transformed.source.metadata
    ctx.note(
        delegation={
            "subgraphs": delegation.subgraphs,
            "subgraphs_by_backend": delegation.by_backend,
            "delegated_nodes": delegation.delegated_nodes,
            "backends": delegation.backends,
            "outside": delegation.outside,
        },
        operators=delegation.operators,
        layers=_layers_note(artifact, facts.num_layers),
        bytes=size,
        shared_bytes=shared,
        predicted_bytes=predicted,
        summary=f"{size / 1e6:.1f} MB, {delegation.delegated_nodes} operations in "
        f"{delegation.subgraphs} delegates{_untested_remark(untested)}",
    )
    if untested:
        ctx.note(untested=untested)
    if not recipe.quant.allow_larger_file:
        require_size(size, predicted, facts.num_layers)
    places, checked = made.places, made.edge_check
    return Lowered(path, delegation, artifact.transformed, places, checked, made.state)


@dataclass(frozen=True)
class _Made:
    program: Any
    """An ExecutorchProgramManager."""
    delegation: Delegation
    places: dict[str, Place]
    edge_check: ComparisonResult | None
    state: ProgramState | None


def _lowered(artifact: Exported, resolved: ResolvedRecipe, ctx: RunContext) -> _Made:
    """Raises LayersDiffer if only some layers were captured and cloning them is not possible."""
    recipe = resolved.recipe
    model = artifact.transformed.model
    external = ExternalWeights(artifact.programs.values(), factor_tensors(model))
    edge = to_edge(artifact, resolved)
    delegation = delegation_of({name: edge.exported_program(name) for name in artifact.programs})
    if not recipe.backend.allow_undelegated:
        _require_delegated(edge, artifact, resolved)
    complete = Completion(resolved)
    config = executorch_config(len(artifact.programs), external.constants, complete)
    checked = None
    with giving_state(model, resolved) as state:
        plans = plans_of(artifact, resolved)
        if plans:
            from llm_export.layer_reuse.to_executorch import to_executorch

            program, programs = to_executorch(edge, config, dict.fromkeys(plans, model), plans)
            delegation = delegation_of(programs)
        else:
            if recipe.verify.enabled and resolved.obstacle_to_running():
                checked = compare_edge(edge, model, resolved)
                ctx.note(edge_program=to_json(checked))
                if errors := require_same_methods(edge, model, resolved):
                    ctx.note(edge_methods=errors)
            program = edge.to_executorch(config)
    ctx.note(branches=complete.branches)
    delegation = with_program_facts(delegation, program)
    return _Made(program, delegation, external.places(program), checked, state.entry)


def _require_delegated(edge: Any, artifact: Exported, resolved: ResolvedRecipe) -> None:
    for name in artifact.programs:
        of = for_method(resolved, name)
        if of.capabilities.delegates:
            outside = delegation_of({name: edge.exported_program(name)}).outside
            require_delegated(outside, "+".join(b.name for b in of.backends))


def plans_of(artifact: Exported, resolved: ResolvedRecipe) -> dict[str, LayerPlan]:
    """Method -> which layers its graph has, where it has not all."""
    steps = {} if artifact.plan is None else dict.fromkeys(resolved.methods.lengths, artifact.plan)
    return {**steps, **artifact.further_plans}


def _untested_remark(untested: str) -> str:
    return f"; layer reuse and faster lowering are off: {untested}" if untested else ""


def _layers_note(artifact: Exported, layers: int) -> dict[str, object]:
    if artifact.plan is None:
        return {"lowered": layers, "of": layers, "path": "whole", "why": artifact.whole_because}
    return {"lowered": len(artifact.plan.kept), "of": layers, "path": "repeated"}


def require_size(size: int, predicted: int, layers: int) -> None:
    """Raises PostConditionError if the file is larger than its rules predict."""
    limit = int(predicted * _SLACK) + _FIXED + layers * _PER_LAYER
    if size > limit:
        raise PostConditionError(
            f"the program has {size / 1e6:.1f} MB; its rules predict {predicted / 1e6:.1f} MB",
            where="model.pte",
            fix="some weights are not stored as quantized; quant.allow_larger_file=true accepts it",
        )


def _write(program: Any, path: Path) -> None:
    with path.open("wb") as file:
        program.write_to_file(file)
