"""Convert captured programs to an ExecuTorch program, of the whole model or of its kept layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_export.backends.base import Backend
from llm_export.compat.edge_manager import replace_program
from llm_export.compat.shared_state import passes_for_shared_state
from llm_export.pipeline.artifacts import Exported
from llm_export.profile.graph_map import number_instructions
from llm_export.resolve.recipe import ResolvedRecipe

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def to_edge(artifact: Exported, resolved: ResolvedRecipe) -> Any:
    """An EdgeProgramManager, partitioned and delegated."""
    from executorch.exir import to_edge_transform_and_lower

    import executorch.kernels.quantized  # noqa: F401  isort: skip  (out variants of quantized ops)

    of = {name: for_method(resolved, name) for name in artifact.programs}
    programs = {
        name: rewritten(program, of[name].backends) for name, program in artifact.programs.items()
    }
    passes = passes_for_shared_state(programs)
    for name, program in programs.items():
        passes[name] += [
            p for backend in of[name].backends for p in backend.edge_passes(of[name], program)
        ]
    edge = to_edge_transform_and_lower(
        programs,
        transform_passes=passes if any(passes.values()) else None,
        partitioner={name: partitioners(of[name]) for name in programs},
        compile_config=resolved.backend.edge_config(),
        constant_methods=artifact.constants,
        generate_etrecord=resolved.recipe.backend.etrecord,
    )
    for name in programs:
        finished(edge, name, of[name])
    return edge


def for_method(resolved: ResolvedRecipe, method: str) -> ResolvedRecipe:
    """What the backends of a method are given."""
    return resolved.of_further(method) if method in resolved.methods.further else resolved


class Completion:
    """Calls the backends' last hook on each method's graph, right before memory planning, and
    prepares the graph for a profile."""

    def __init__(self, resolved: ResolvedRecipe) -> None:
        self._resolved = resolved
        self.branches = 0
        """Number of operators replaced by branches, over all methods."""

    def __call__(self, module: Any, config: Any) -> None:
        for backend in self._resolved.backends:
            self.branches += backend.before_memory_planning(self._resolved, module, config)
        number_instructions(module)


def executorch_config(methods: int, external_constants: Any, complete: Completion) -> Any:
    """The config that all programs share."""
    from executorch.exir import ExecutorchBackendConfig
    from executorch.exir.passes import MemoryPlanningPass
    from executorch.exir.passes.sym_shape_eval_pass import ConstraintBasedSymShapeEvalPass

    class CompletedPlanning(MemoryPlanningPass):
        """ExecuTorch's memory planning, the only final step common to all lowering paths."""

        def run(self, graph_module: Any, graph_signature: Any = None) -> Any:
            complete(graph_module, config)
            return super().run(graph_module, graph_signature)

    planning = CompletedPlanning(alloc_graph_input=False, share_mutable_buffers=methods > 1)
    config = ExecutorchBackendConfig(
        extract_delegate_segments=True,
        do_quant_fusion_and_const_prop=True,
        memory_planning_pass=planning,
        sym_shape_eval_pass=ConstraintBasedSymShapeEvalPass(),
        external_constants=external_constants,
    )
    return config


def partitioners(resolved: ResolvedRecipe) -> list[Any]:
    """Partitioners of all backends in order: each may take what the previous ones left."""
    return [made for backend in resolved.backends for made in backend.partitioners(resolved)]


def rewritten(program: ExportedProgram, chain: Sequence[Backend]) -> ExportedProgram:
    for backend in chain:
        program = backend.transform_exported(program)
    return program


def finished(edge: Any, name: str, resolved: ResolvedRecipe) -> None:
    """Let backends insert their own operators into a method, in place."""
    before = program = edge.exported_program(name)
    for backend in resolved.backends:
        program = backend.transform_edge(resolved, program)
    if program is not before:
        replace_program(edge, name, program)
