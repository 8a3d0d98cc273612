"""Graph -> .pte, with the proof that the work went where the recipe wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.backends import Backend, backends_of, obstacle_to_running
from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.components.lora import factor_tensors
from llm_export.pipeline.artifacts import Delegation, Exported, Lowered
from llm_export.pipeline.stage import RunContext
from llm_export.stages.edge_check import compare_edge
from llm_export.stages.external_weights import ExternalWeights
from llm_export.stages.shared_constants import share_constants

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# Matrix products: a linear or an attention that is in no delegate and no custom operator.
HEAVY = ("linear", "addmm", "mm", "bmm", "matmul", "baddbmm", "scaled_dot_product_attention")

# Room for the graph itself beside the constants: 5% and 64 KiB a layer.
_SLACK, _PER_LAYER, _FIXED = 1.05, 1 << 16, 1 << 20


def lower(artifact: Exported, recipe: Recipe, ctx: RunContext) -> Lowered:
    """Partition, delegate, plan memory, and write the program.

    Raises:
        PostConditionError: heavy operators stayed outside, or the file is larger than
            the rules predict; the recipe may allow either.
    """
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass
    from executorch.exir.passes.sym_shape_eval_pass import ConstraintBasedSymShapeEvalPass

    import executorch.kernels.quantized  # noqa: F401  isort: skip  (out variants of quantized ops)

    chain = backends_of(recipe)
    external = ExternalWeights(
        artifact.programs.values(), factor_tensors(artifact.transformed.model)
    )
    programs = {name: rewritten(program, chain) for name, program in artifact.programs.items()}
    passes = {
        name: [p for backend in chain for p in backend.edge_passes(recipe, program)]
        for name, program in programs.items()
    }
    edge = to_edge_transform_and_lower(
        programs,
        transform_passes=passes if any(passes.values()) else None,
        partitioner={name: partitioners(recipe, chain) for name in artifact.programs},
        compile_config=chain[0].edge_config(),
        constant_methods=artifact.constants,
    )
    for name in artifact.programs:
        finished(edge, name, recipe, chain)
    delegation = _delegation(edge, artifact.programs)
    if any(b.capabilities.delegates for b in chain) and not recipe.backend.allow_undelegated:
        require_delegated(delegation.outside, "+".join(b.name for b in chain))
    checked = None
    if recipe.verify.enabled and obstacle_to_running(recipe):
        checked = compare_edge(edge, artifact.transformed.model, recipe)
        ctx.note(edge_program=checked)
    program = edge.to_executorch(
        ExecutorchBackendConfig(
            extract_delegate_segments=True,
            do_quant_fusion_and_const_prop=True,
            memory_planning_pass=MemoryPlanningPass(
                alloc_graph_input=False, share_mutable_buffers=len(artifact.programs) > 1
            ),
            sym_shape_eval_pass=ConstraintBasedSymShapeEvalPass(),
            external_constants=external.constants,
        )
    )
    delegation = _with_program_facts(delegation, program)
    path = ctx.bundle / "model.pte"
    _write(program, path)
    shared = share_constants(path)
    size, predicted = path.stat().st_size, artifact.transformed.predicted_bytes
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
        remark=f"{size / 1e6:.1f} MB, {delegation.delegated_nodes} operations in "
        f"{delegation.subgraphs} delegates",
    )
    layers = artifact.transformed.source.facts.num_layers
    if not recipe.quant.allow_larger_file:
        require_size(size, predicted, layers)
    return Lowered(path, delegation, artifact.transformed, external.places(program), checked)


def require_delegated(outside: dict[str, int], backend: str) -> None:
    """Raises PostConditionError if a matrix product stayed outside of all delegates."""
    left = {name: n for name, n in outside.items() if name.split(".")[1] in HEAVY}
    if left:
        listed = ", ".join(f"{n} x {name}" for name, n in left.items())
        raise PostConditionError(
            f"{backend} did not take {listed}: they would run on slow reference kernels",
            where="delegation",
            fix="another quant or runtime option, or backend.allow_undelegated=true to accept it",
        )


def require_size(size: int, predicted: int, layers: int) -> None:
    """Raises PostConditionError if the file is larger than its rules predict."""
    limit = int(predicted * _SLACK) + _FIXED + layers * _PER_LAYER
    if size > limit:
        raise PostConditionError(
            f"the program has {size / 1e6:.1f} MB; its rules predict {predicted / 1e6:.1f} MB",
            where="model.pte",
            fix="some weights are not stored as quantized; quant.allow_larger_file=true accepts it",
        )


def partitioners(recipe: Recipe, chain: Sequence[Backend]) -> list[Any]:
    """Of all backends in order: what one leaves, the next may take."""
    return [made for backend in chain for made in backend.partitioners(recipe)]


def rewritten(program: ExportedProgram, chain: Sequence[Backend]) -> ExportedProgram:
    for backend in chain:
        program = backend.rewrite(program)
    return program


def finished(edge: Any, name: str, recipe: Recipe, chain: Sequence[Backend]) -> None:
    """Let backends put operators of their own into a method, in place."""
    before = program = edge.exported_program(name)
    for backend in chain:
        program = backend.finish(recipe, program)
    if program is not before:
        edge._edge_programs[name] = program


def _delegation(edge: Any, methods: Iterable[str]) -> Delegation:
    """Over all methods."""
    from executorch.devtools.backend_debug import get_delegation_info

    outside: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    nodes = 0
    for method in methods:
        graph_module = edge.exported_program(method).graph_module
        nodes += get_delegation_info(graph_module).num_delegated_nodes
        for node in graph_module.graph.nodes:
            name = _operator(node)
            if name is not None:
                outside[name] += 1
            if "executorch_call_delegate" in str(node.target):
                taken[getattr(graph_module, node.args[0].name).backend_id] += 1
    return Delegation(sum(taken.values()), nodes, dict(outside.most_common()), (), (), dict(taken))


def _operator(node: Any) -> str | None:
    """namespace.name of an operator call; None for bookkeeping nodes and delegate calls."""
    if node.op != "call_function" or "executorch_call_delegate" in str(node.target):
        return None
    target = node.target
    if "auto_functionalized" in str(target):
        target = node.args[0]
    schema = getattr(target, "_schema", None) or getattr(
        getattr(target, "_op", None), "_schema", None
    )
    return schema.name.replace("::", ".") if schema is not None else None


def _with_program_facts(delegation: Delegation, program: Any) -> Delegation:
    plans = program.executorch_program.execution_plan
    operators = {
        f"{o.name}.{o.overload}" if o.overload else o.name for p in plans for o in p.operators
    }
    backends = {d.id for p in plans for d in p.delegates}
    return replace(delegation, backends=tuple(sorted(backends)), operators=tuple(sorted(operators)))


def _write(program: Any, path: Path) -> None:
    with path.open("wb") as file:
        program.write_to_file(file)
