"""Graph -> .pte, with the proof that the work went where the recipe wants it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from llm_export.backends import BACKENDS
from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.components.lora import factor_tensors
from llm_export.pipeline.artifacts import Delegation, Exported, Lowered
from llm_export.pipeline.stage import RunContext
from llm_export.stages.external_weights import ExternalWeights
from llm_export.stages.shared_constants import share_constants

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

    backend = BACKENDS.get(recipe.backend.name)
    external = ExternalWeights(artifact.program, factor_tensors(artifact.transformed.model))
    edge = to_edge_transform_and_lower(
        backend.rewrite(artifact.program),
        partitioner=backend.partitioners(recipe) or None,
        compile_config=backend.edge_config(),
        constant_methods=artifact.constants,
    )
    delegation = _delegation(edge)
    if backend.capabilities.delegates and not recipe.backend.allow_undelegated:
        require_delegated(delegation.outside, recipe.backend.name)
    program = edge.to_executorch(
        ExecutorchBackendConfig(
            extract_delegate_segments=True,
            do_quant_fusion_and_const_prop=True,
            memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False),
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
    return Lowered(path, delegation, artifact.transformed, external.places(program))


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


def _delegation(edge: Any) -> Delegation:
    from executorch.devtools.backend_debug import get_delegation_info

    graph_module = edge.exported_program().graph_module
    info = get_delegation_info(graph_module)
    outside: Counter[str] = Counter()
    for node in graph_module.graph.nodes:
        name = _operator(node)
        if name is not None:
            outside[name] += 1
    return Delegation(
        info.num_delegated_subgraphs, info.num_delegated_nodes, dict(outside.most_common()), (), ()
    )


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
    plan = program.executorch_program.execution_plan[0]
    operators = sorted({f"{o.name}.{o.overload}" if o.overload else o.name for o in plan.operators})
    backends = tuple(sorted({d.id for d in plan.delegates}))
    return Delegation(
        delegation.subgraphs, delegation.delegated_nodes, delegation.outside, backends,
        tuple(operators),
    )  # fmt: skip


def _write(program: Any, path: Path) -> None:
    with path.open("wb") as file:
        program.write_to_file(file)
