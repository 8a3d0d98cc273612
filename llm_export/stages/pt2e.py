"""Static quantization of a captured graph (PT2E): capture, observe, convert.

https://docs.pytorch.org/ao/stable/pt2e_quantization/index.html. What is annotated is the
backend's affair, whose quantizer knows its kernels; which modules, the rules'.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from llm_export.backends import BACKENDS
from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.contract import ProgramForm
from llm_export.pipeline.artifacts import Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.quant.nodes import modules_of
from llm_export.quant.observers import teach
from llm_export.quant.schemes import Flow
from llm_export.stages.calibration import calibration_windows
from llm_export.stages.graph_model import GraphModel

# Tokens of a calibration step. A program that returns the last token's logits only computes the
# head for one token a step, so that long steps would show it few; and observers cost by the step.
_STEP = 16


def quantize_graph(
    artifact: Transformed, recipe: Recipe, ctx: RunContext, shapes: Any
) -> Transformed:
    """The artifact with the converted graph in the place of its model; itself if no rule asks
    for static quantization.

    Args:
        shapes: ``dynamic_shapes`` of torch.export.

    Raises:
        PostConditionError: the quantizer left out a module that a rule chose.
    """
    chosen = [c.name for c in artifact.choices if c.flow is Flow.pt2e]
    if not chosen:
        return artifact
    from torchao.quantization.pt2e.quantize_pt2e import (
        convert_pt2e,
        prepare_pt2e,
        prepare_qat_pt2e,
    )

    model, runtime = artifact.model, recipe.runtime
    with model.as_program(example_length(recipe)) as form:
        captured = torch.export.export(
            form.module, form.inputs, dynamic_shapes=shapes, strict=False
        ).module(check_guards=False)
        names = _names_in(form, artifact)
    inside = [names[name] for name in chosen]
    drop_upper_bounds(captured)
    trained = bool(artifact.ranges)
    quantizer = BACKENDS.get(recipe.backend.name).quantizer(recipe, inside, training=trained)

    def running(graph: GraphModule) -> GraphModel:
        return GraphModel(graph, model, form, runtime.prefill_length, runtime.dynamic_shapes)

    prepare = prepare_qat_pt2e if trained else prepare_pt2e
    prepared = running(prepare(captured, quantizer))
    outer = {inner: name for name, inner in names.items()}
    learned, unknown = teach(prepared.graph, artifact.ranges, lambda n: outer.get(n, n))
    if unknown:
        _calibrate(prepared, artifact, recipe, ctx)
    ctx.note(ranges={"trained": learned, "calibrated": len(unknown)})
    graph = convert_pt2e(prepared.graph)
    require_quantized(graph, inside)
    return replace(artifact, model=running(graph))


def _calibrate(
    prepared: GraphModel, artifact: Transformed, recipe: Recipe, ctx: RunContext
) -> None:
    windows = calibration_windows(recipe.quant.calibration, artifact.source, artifact.model)
    for index, window in enumerate(windows):
        prepared.init_buffers()
        for start in range(0, len(window), _STEP):
            prepared(torch.tensor([window[start : start + _STEP]]), torch.tensor([start]))
        ctx.progress(index + 1, len(windows))
    prepared.init_buffers()


def example_length(recipe: Recipe) -> int:
    """Tokens to trace with: neither 0 nor 1, which torch.export treats as special, if dynamic."""
    limit = recipe.runtime.prefill_length
    return min(3, limit) if recipe.runtime.dynamic_shapes else limit


def drop_upper_bounds(graph: GraphModule) -> None:
    """Remove assertions that a start position is at most some number.

    torch.export makes them from ``start + tokens <= slots``, which it asserts as well, and takes
    steps to have two tokens at least: the last slot of a context would be out of reach.
    """
    for node in list(graph.graph.nodes):
        condition = node.args[0] if "_assert_scalar" in str(node.target) else None
        if not isinstance(condition, Node) or condition.target is not operator.le:
            continue
        left, right = condition.args
        if isinstance(right, int) and isinstance(left, Node) and "item" in str(left.target):
            graph.graph.erase_node(node)
    graph.recompile()


def require_quantized(graph: GraphModule, names: Sequence[str]) -> None:
    """Raises PostConditionError if a named linear multiplies what was not quantized."""
    linears = [n for n in graph.graph.nodes if "aten.linear" in str(n.target)]
    for name in names:
        own = [n for n in linears if name in modules_of(n)]
        if not own or not all(_dequantized(n.args[0]) and _dequantized(n.args[1]) for n in own):
            raise PostConditionError(
                f"the backend's quantizer left out '{name}', which a rule chose",
                where="quant.rules", fix="a rule before it with another scheme for this module",
            )  # fmt: skip


def _dequantized(node: Any) -> bool:
    return isinstance(node, Node) and "dequantize" in str(node.target)


def _names_in(form: ProgramForm, artifact: Transformed) -> dict[str, str]:
    """Name of a module of the model -> the name that it has in its program's form."""
    of = {module: name for name, module in form.module.named_modules()}
    return {n: of[module] for n, module in artifact.model.named_modules() if module in of}
