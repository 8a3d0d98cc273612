"""Export the transformed model to a graph for each method of the program."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch.export import ExportedProgram

from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.config.schema import filled
from llm_export.layer_reuse.plan import LayerPlan, LayersDiffer, only_kept, plan_layers
from llm_export.models.components.lora import factor_tensors
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Exported, ProgramConstant, Source, Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.lowering.method_graphs import method_graphs, no_repetition
from llm_export.stages.lowering.methods import (
    dims,
    example_length,
    in_token_dtype,
    inputs_of,
    last_row_only,
    logits_of,
)
from llm_export.stages.lowering.model_schema import METHOD as SCHEMA
from llm_export.stages.lowering.model_schema import model_schema
from llm_export.stages.quantization.pt2e import quantized_graphs
from llm_export.stages.verification.kv_cache_size import cache_bytes, cache_remark


def export(artifact: Transformed, resolved: ResolvedRecipe, ctx: RunContext) -> Exported:
    """Run ``torch.export`` with a dynamic number of tokens, or once per fixed length. Static
    quantization converts a first set of graphs; the graphs to lower are captured from them.

    Raises:
        PostConditionError: a required operator is not in the graph.
    """
    methods = resolved.methods
    with torch.no_grad():
        graphs = quantized_graphs(artifact, resolved, ctx) or {}
    plan, whole_because = None, "static quantization calibrates the whole graph"
    if not graphs:
        plan, whole_because = repetition(artifact.model, resolved)
    programs = _programs(artifact.model, resolved, plan, graphs)
    further, plans = further_programs(artifact.model, resolved)
    if graphs:
        artifact = replace(artifact, model=graphs[methods.main])
    for program in programs.values():
        for step in artifact.transforms:
            step.check_graph(program.graph_module)
    programs |= further
    counts = {name: operations(program) for name, program in programs.items()}
    ctx.note(
        graph_nodes=counts,
        dynamic_shapes=methods.dynamic,
        methods=methods.lengths,
        cache_bytes=cache_bytes(artifact.model),
        summary=f"{' + '.join(map(str, counts.values()))} operations, "
        f"{cache_remark(artifact.model)}",
    )
    custom = any(t.name.startswith("attention:custom_op") for t in artifact.transforms)
    own_cache = artifact.model.cache_metadata().cache_io is None
    constants = constant_methods(resolved, artifact.source, custom, own_cache)
    constants[SCHEMA] = model_schema(programs)
    return Exported(programs, artifact, constants, plan, whole_because, plans)


def whole(artifact: Exported, resolved: ResolvedRecipe, because: str) -> Exported:
    """The same with all layers in its graphs."""
    model = artifact.transformed.model
    programs = (
        _programs(model, resolved, None, {}) | further_programs(model, resolved, whole=True)[0]
    )
    return replace(artifact, programs=programs, plan=None, whole_because=because, further_plans={})


def repetition(model: LanguageModel, resolved: ResolvedRecipe) -> tuple[LayerPlan | None, str]:
    """The layers to capture if not all, or the reason for capturing all."""
    if obstacle := no_repetition(resolved):
        return None, obstacle
    if factor_tensors(model):
        return None, "the adapter's weights are separate"
    if model.cache_metadata().cache_io is not None:
        return None, "its caches are inputs and outputs of the program"
    try:
        return plan_layers(model), ""
    except LayersDiffer as reason:
        return None, str(reason)


def further_programs(
    model: LanguageModel, resolved: ResolvedRecipe, *, whole: bool = False
) -> tuple[dict[str, ExportedProgram], dict[str, LayerPlan]]:
    """Graphs of the further methods, and for those with repeated layers which of them they have.

    Args:
        whole: with all layers.
    """
    lengths = resolved.methods.prefill_length, resolved.methods.dynamic
    methods = [
        replace(each, inputs=in_token_dtype(each.inputs, resolved.of_further(each.name)))
        for each in model.further_methods(lengths[0], dynamic=lengths[1])
    ]
    made = method_graphs(
        methods,
        lambda method: "asked for" if whole else no_repetition(resolved.of_further(method.name)),
        lambda number: None,
    )
    return made.programs, made.plans


def _programs(
    model: LanguageModel,
    resolved: ResolvedRecipe,
    plan: LayerPlan | None,
    graphs: Mapping[str, LanguageModel],
) -> dict[str, ExportedProgram]:
    found = {}
    for method in resolved.methods.lengths:
        one = graphs.get(method, model)
        kept = nullcontext() if plan is None else only_kept(one, plan)
        with torch.no_grad(), logits_of(one, resolved.methods, method), kept:
            found[method] = captured(one, resolved, method)
    return found


def captured(model: LanguageModel, resolved: ResolvedRecipe, method: str) -> ExportedProgram:
    methods = resolved.methods
    length = example_length(methods, methods.lengths[method])
    with (
        any_number_of_rows(),
        model.as_program(length) as form,
        last_row_only(form.module, model),
    ):
        return torch.export.export(
            form.module,
            inputs_of(form, resolved),
            dynamic_shapes=dims(methods, method, form),
            strict=False,
        )


def operations(program: ExportedProgram) -> int:
    return sum(n.op == "call_function" for n in program.graph.nodes)


def constant_methods(
    resolved: ResolvedRecipe, source: Source, custom_sdpa: bool, own_cache: bool
) -> dict[str, ProgramConstant]:
    """Metadata methods for ExecuTorch's C++ LLM runner (extension/llm/runner/constants.h).

    ``own_cache``: whether the program contains its KV cache. The runner cannot run a program that
    takes and returns it; with ``use_kv_cache`` false it fails instead of generating nonsense.
    """
    recipe = resolved.recipe
    methods = resolved.methods
    constants: dict[str, ProgramConstant] = {
        "get_max_seq_len": methods.lengths[methods.main],
        "get_max_context_len": filled(recipe.runtime.context_length),
        "get_vocab_size": source.metadata.vocab_size,
        "get_n_layers": source.metadata.num_layers,
        "get_eos_ids": list(source.tokenizer.eos_ids),
        "use_kv_cache": own_cache,
        "use_sdpa_with_kv_cache": custom_sdpa,
        "enable_dynamic_shape": methods.dynamic,
    }
    if source.tokenizer.bos_id is not None:
        constants["get_bos_id"] = source.tokenizer.bos_id
    return constants
