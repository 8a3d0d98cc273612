"""Convert edge programs to an ExecuTorch program, cloning the layers that were not exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind

from llm_export.compat.edge_manager import edge_programs
from llm_export.compat.exported_program import set_signature
from llm_export.compat.to_executorch import (
    NamedData,
    copy_graph,
    functional_program,
    ready_for_planning,
    with_write_back,
)
from llm_export.layer_reuse.clone import LayerCloner
from llm_export.layer_reuse.derived import name_derived, note_expressions
from llm_export.layer_reuse.plan import LayerPlan
from llm_export.layer_reuse.weights import ModelWeights


def to_executorch(
    edge: Any, config: Any, models: Mapping[str, nn.Module], plans: Mapping[str, LayerPlan]
) -> tuple[Any, dict[str, ExportedProgram]]:
    """The result of ``edge.to_executorch(config)`` for the whole model.

    Layers are cloned after the last pass that visits all nodes and before memory planning.

    Args:
        models: method -> the whole module that its graph was captured from, for those in ``plans``.
        plans: method -> which layers its graph has; methods without one have all.

    Returns:
        an ExecutorchProgramManager, and its programs by method.

    Raises:
        LayersDiffer: see ``LayerCloner``.
    """
    # Methods of one module share what is derived from its weights.
    by_path = {(id(models[name]), plan.path): (name, plan) for name, plan in plans.items()}
    read = {key: ModelWeights(models[name], plan) for key, (name, plan) in by_path.items()}
    programs: dict[str, ExportedProgram] = {}
    data = NamedData()
    for name, edge_program in edge_programs(edge).items():
        plan = plans.get(name)
        weights = None if plan is None else read[id(models[name]), plan.path]
        if weights is not None:
            note_expressions(edge_program, weights)
        program = functional_program(edge_program, config)
        if weights is not None:
            name_derived(program, weights)
        module, signature = with_write_back(program)
        module = ready_for_planning(program, module, config, edge.compile_config, name)
        set_signature(program, signature)
        if plan is not None and weights is not None:
            module, signature, values = LayerCloner(program, module, weights, plan).write()
            _put(program, signature, values)
        planned = config.memory_planning_pass.run(module, signature)
        copy_graph(program, planned.graph_module)
        set_signature(program, signature)
        data.collect(program)
        programs[name] = program
    config.memory_planning_pass.run_multimethod()
    return data.emitted(programs, edge, config), programs


def _put(program: ExportedProgram, signature: ExportGraphSignature, values: Any) -> None:
    """Add the constants of all layers to the program, where torch.export stores each kind."""
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
