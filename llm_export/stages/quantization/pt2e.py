"""Static quantization of a captured graph (PT2E): capture, observe, convert.

https://docs.pytorch.org/ao/stable/pt2e_quantization/index.html. Rules select the modules; the
backend's quantizer, which knows its kernels, annotates them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.contract import ProgramForm
from llm_export.pipeline.artifacts import Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.quant.nodes import modules_of
from llm_export.quant.observers import Ranges, collect_ranges, load_ranges
from llm_export.quant.schemes import Flow
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.lowering.graph_model import GraphModel
from llm_export.stages.lowering.methods import dims, example_length, inputs_of, logits_of
from llm_export.stages.quantization.calibration import calibration_windows

# Tokens per calibration step. A program that returns only the last token's logits runs the head for
# one token per step, so long steps would show it few tokens; and observer cost is per step.
_STEP = 16


def quantized_graphs(
    artifact: Transformed, resolved: ResolvedRecipe, ctx: RunContext
) -> dict[str, GraphModel] | None:
    """A converted graph for each method of the program; None if no rule requires static
    quantization. All methods use the ranges that were calibrated on the first.

    Raises:
        PostConditionError: the quantizer left out a module that a rule chose.
    """
    if not any(c.flow is Flow.pt2e for c in artifact.choices):
        return None
    graphs, ranges = dict[str, GraphModel](), artifact.ranges
    for method in resolved.methods.lengths:
        graphs[method], ranges = _quantized(artifact, resolved, ctx, method, ranges)
    return graphs


def _quantized(
    artifact: Transformed, resolved: ResolvedRecipe, ctx: RunContext, method: str, ranges: Ranges
) -> tuple[GraphModel, Ranges]:
    recipe = resolved.recipe
    from torchao.quantization.pt2e.quantize_pt2e import (
        convert_pt2e,
        prepare_pt2e,
        prepare_qat_pt2e,
    )

    model, methods = artifact.model, resolved.methods
    length = methods.lengths[method]
    chosen = [c.name for c in artifact.choices if c.flow is Flow.pt2e]
    with (
        logits_of(model, methods, method),
        model.as_program(example_length(methods, length)) as form,
    ):
        captured = torch.export.export(
            form.module,
            inputs_of(form, resolved),
            dynamic_shapes=dims(methods, method, form),
            strict=False,
        ).module(check_guards=False)
        names = _names_in(form, artifact)
        drop_upper_bounds(captured)
        trained = bool(artifact.ranges)
        inside = [names[name] for name in chosen]
        quantizer = resolved.backend.quantizer(resolved, inside, training=trained)
        prepare = prepare_qat_pt2e if trained else prepare_pt2e
        prepared = GraphModel(prepare(captured, quantizer), model, form, length)
        outer = {inner: name for name, inner in names.items()}
        known, unknown = load_ranges(prepared.graph, ranges, lambda n: outer.get(n, n))
        if unknown:
            _calibrate(prepared, artifact, recipe, ctx)
        if method == methods.main:
            ctx.note(ranges={"trained": known, "calibrated": len(unknown)})
        ranges = collect_ranges(prepared.graph, lambda n: outer.get(n, n))
        graph = convert_pt2e(prepared.graph)
        require_quantized(graph, inside)
        return GraphModel(graph, model, form, length), ranges


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


def drop_upper_bounds(graph: GraphModule) -> None:
    """Remove assertions that bound the start position from above.

    torch.export derives them from ``start + tokens <= slots``, which it asserts as well, and
    assumes at least two tokens per step, so the last slot of a context would be unreachable.
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
    """Raises PostConditionError if a named linear has an unquantized operand."""
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
    """Module name in the model -> its name in the program's form."""
    of = {module: name for name, module in form.module.named_modules()}
    return {n: of[module] for n, module in artifact.model.named_modules() if module in of}
