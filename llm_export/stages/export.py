"""The transformed model -> a graph."""

from __future__ import annotations

from typing import Any

import torch

from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Exported, Source, Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.stages.caches import cache_bytes, cache_remark
from llm_export.stages.pt2e import example_length, quantize_graph


def export(artifact: Transformed, recipe: Recipe, ctx: RunContext) -> Exported:
    """``torch.export`` with a dynamic number of tokens, or a fixed one; static quantization is
    done to a first graph, of which the one to lower is captured.

    Raises:
        PostConditionError: an operator that was asked for is not in the graph.
    """
    limit = recipe.runtime.prefill_length
    dynamic = recipe.runtime.dynamic_shapes
    shapes: Any = None
    if dynamic:
        shapes = ({1: torch.export.Dim("tokens", min=1, max=limit)}, None)
    with torch.no_grad():
        artifact = quantize_graph(artifact, recipe, ctx, shapes)
    with torch.no_grad(), artifact.model.as_program(example_length(recipe)) as form:
        program = torch.export.export(form.module, form.inputs, dynamic_shapes=shapes, strict=False)
    for step in artifact.transforms:
        step.check_graph(program.graph_module)
    nodes = sum(n.op == "call_function" for n in program.graph.nodes)
    ctx.note(
        graph_nodes=nodes,
        dynamic_shapes=dynamic,
        cache_bytes=cache_bytes(artifact.model),
        remark=f"{nodes} operations, {cache_remark(artifact.model)}",
    )
    custom = any(t.name.startswith("attention:custom_op") for t in artifact.transforms)
    own_cache = "cache_io" not in artifact.model.cache_facts()
    return Exported(program, artifact, constant_methods(recipe, artifact.source, custom, own_cache))


def constant_methods(
    recipe: Recipe, source: Source, custom_sdpa: bool, own_cache: bool
) -> dict[str, Any]:
    """Metadata as ExecuTorch's C++ LLM runner reads it (extension/llm/runner/constants.h).

    ``own_cache``: the program keeps keys and values itself. The runner cannot run one that
    takes and returns them; with ``use_kv_cache`` false it fails rather than answer nonsense.
    """
    constants: dict[str, Any] = {
        "get_max_seq_len": recipe.runtime.prefill_length,
        "get_max_context_len": recipe.runtime.context_length,
        "get_vocab_size": source.facts.vocab_size,
        "get_n_layers": source.facts.num_layers,
        "get_eos_ids": list(source.tokenizer.eos_ids),
        "use_kv_cache": own_cache,
        "use_sdpa_with_kv_cache": custom_sdpa,
        "enable_dynamic_shape": recipe.runtime.dynamic_shapes,
    }
    if source.tokenizer.bos_id is not None:
        constants["get_bos_id"] = source.tokenizer.bos_id
    return constants
