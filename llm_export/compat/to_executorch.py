"""The steps of ExecuTorch's ``EdgeProgramManager.to_executorch``, one by one.

It runs all passes and plans memory in one call. Layers are repeated between the two, and a branch
that is lowered by itself needs the passes without a plan. The order is that of executorch 1.5.1,
without the reinplace pass, which is off by default there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch.export.graph_signature import ExportGraphSignature, OutputKind, TensorArgument

from llm_export.compat.edge_manager import constant_methods

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


def functional_program(program: ExportedProgram, config: Any) -> ExportedProgram:
    """The passes before mutations are written back.

    Args:
        config: an ``ExecutorchBackendConfig``.
    """
    from executorch.exir.program import _program as exir

    if config.do_quant_fusion_and_const_prop:
        program = exir.quant_fusion_and_const_prop_pass(program)
    program = exir.weights_to_outputs_pass(program)
    return exir.unsafe_remove_auto_functionalized_pass(program)


def with_write_back(program: ExportedProgram) -> tuple[fx.GraphModule, ExportGraphSignature]:
    """The graph and its signature, with a copy into each buffer that a step changes.

    ExecuTorch puts the copies before the buffers that an operator changes in place, and leaves the
    targets in the order of the buffers; here each output has its own buffer as target.
    """
    from executorch.exir.program import _program as exir

    module, signature = exir.insert_write_back_for_buffers_pass(program)
    inputs = {spec.arg.name: spec for spec in signature.input_specs}
    outputs = []
    for value, spec in zip(module.graph.output_node().args[0], signature.output_specs, strict=True):
        if spec.kind is OutputKind.BUFFER_MUTATION:
            changed = value if value.op == "placeholder" else value.args[0]
            target = inputs[changed.name].target
            spec = replace(spec, arg=TensorArgument(name=value.name), target=target)
        outputs.append(spec)
    return module, ExportGraphSignature(list(signature.input_specs), outputs)


def ready_for_planning(
    program: ExportedProgram,
    module: fx.GraphModule,
    config: Any,
    compile_config: Any,
    method: str = "forward",
) -> fx.GraphModule:
    """A program's graph with out variants of operators, and specs of all tensors.

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


def copy_graph(program: ExportedProgram, module: fx.GraphModule) -> None:
    """Make a graph that of a program, in place."""
    from executorch.exir.program import _program as exir

    exir._copy_module(program.graph_module, module)


class NamedData:
    """Named data of delegates and kernels, collected over all programs."""

    def __init__(self) -> None:
        from executorch.exir._serialize._named_data_store import NamedDataStore

        self._store = NamedDataStore()

    def collect(self, program: ExportedProgram) -> None:
        from executorch.exir.program import _program as exir

        exir.collect_named_data_store_from_exported_program(program, self._store)

    def emitted(self, programs: dict[str, ExportedProgram], edge: Any, config: Any) -> Any:
        """An ``ExecutorchProgramManager`` of planned programs."""
        from executorch.exir.program import _program as exir

        data = self._store.get_named_data_store_output()
        return exir.ExecutorchProgramManager(programs, constant_methods(edge), config, data)
