"""ExecuTorch's passes between partitioning and memory planning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


def ready_for_planning(
    program: ExportedProgram,
    module: fx.GraphModule,
    config: Any,
    compile_config: Any,
    method: str = "forward",
) -> fx.GraphModule:
    """A program's graph with operators that write where they are told, and specs of all tensors.

    The order is ``EdgeProgramManager.to_executorch``'s of ExecuTorch 1.5.

    Args:
        module: the program's graph, or what was made of it.
        config: an ``ExecutorchBackendConfig``.
        compile_config: the edge program's ``EdgeCompileConfig``.
    """
    from executorch.exir.program import _program as exir

    for step in exir.edge_to_executorch_passes(config, method, compile_config):
        module = step(module).graph_module
        if isinstance(step, exir.SpecPropPass):
            step.update_placeholder_tensor_specs(program, module)
    return module
