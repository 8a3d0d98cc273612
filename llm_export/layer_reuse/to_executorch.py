"""Edge programs -> an ExecuTorch program, with the layers that were left out put in."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind

from llm_export.layer_reuse.clone import LayerCloner
from llm_export.layer_reuse.passes import ready_for_planning
from llm_export.layer_reuse.plan import LayerPlan
from llm_export.layer_reuse.weights import ModelWeights


def to_executorch(
    edge: Any, config: Any, model: nn.Module, plan: LayerPlan
) -> tuple[Any, dict[str, ExportedProgram]]:
    """What ``edge.to_executorch(config)`` would make of the whole model.

    The order of passes is EdgeProgramManager.to_executorch's of ExecuTorch 1.5. Layers are
    repeated after the last pass that looks at all nodes and before memory is planned.

    Returns:
        an ExecutorchProgramManager, and its programs by method.

    Raises:
        LayersDiffer: see ``LayerCloner``.
    """
    from executorch.exir._serialize._named_data_store import NamedDataStore
    from executorch.exir.program import _program as exir

    weights = ModelWeights(model, plan)
    programs: dict[str, ExportedProgram] = {}
    store = NamedDataStore()
    for name, edge_program in edge._edge_programs.items():
        program = edge_program
        if config.do_quant_fusion_and_const_prop:
            program = exir.quant_fusion_and_const_prop_pass(program)
        program = exir.weights_to_outputs_pass(program)
        program = exir.unsafe_remove_auto_functionalized_pass(program)
        module, signature = exir.insert_write_back_for_buffers_pass(program)
        module = ready_for_planning(program, module, config, edge.compile_config, name)
        program._graph_signature = signature
        module, signature, values = LayerCloner(program, module, weights, plan).write()
        _put(program, signature, values)
        planned = config.memory_planning_pass.run(module, signature)
        exir._copy_module(program.graph_module, planned.graph_module)
        program._graph_signature = signature
        exir.collect_named_data_store_from_exported_program(program, store)
        programs[name] = program
    config.memory_planning_pass.run_multimethod()
    manager = exir.ExecutorchProgramManager(
        programs, edge._config_methods, config, store.get_named_data_store_output()
    )
    return manager, programs


def _put(program: ExportedProgram, signature: ExportGraphSignature, values: Any) -> None:
    """Give the program the constants of all layers, where torch.export keeps each kind."""
    for spec in signature.input_specs:
        if spec.target not in values:
            continue
        value = values[spec.target]
        if spec.kind == InputKind.PARAMETER:
            program.state_dict[spec.target] = nn.Parameter(value, requires_grad=False)
        elif spec.kind == InputKind.BUFFER and spec.persistent:
            program.state_dict[spec.target] = value
        else:
            program.constants[spec.target] = value
