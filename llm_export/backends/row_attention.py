"""Attention of short steps, one token after another.

ExecuTorch's fused operator sums in another order for one token than for several. A program whose
steps are short checks proposed tokens (``runtime.verify_length``), and must find for each of them
what a step of that token alone finds: to the last bit, because rounding of activations to 8 bits
amplifies a difference of 1e-6 until the most likely token is another one. Everything else in such a
program computes row by row already. So here the operator is called once per token, just as by a
step of one token.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import fx

from llm_export.backends.branches import Branch, computed, insert_branches, replace_by

_Q, _K, _V, _K_CACHE, _V_CACHE, _START, _LENGTH, _MASK = range(8)
_BY_TOKEN = {"q": _Q, "k": _K, "v": _V}
_SIZED = torch.ops.aten.clone.out


class _Turn(NamedTuple):
    """Nodes of one token of the step: its position, and whether the step has it."""

    position: fx.Node
    present: fx.Node


def attend_by_token(module: fx.GraphModule, operator: Any, longest: int) -> None:
    """Replace each call of ``sdpa_with_kv_cache.out`` in a method with steps of dynamic length.

    Args:
        module: a method's graph before memory is planned.
        longest: tokens of its longest step; methods with other lengths stay as they are.
    """
    turns: dict[Hashable, list[_Turn]] = {}
    calls = [n for n in module.graph.nodes if n.target is operator and _steps(n) == longest]
    for call in calls:
        start, length = call.args[_START], call.args[_LENGTH]
        if (start, length) not in turns:
            with module.graph.inserting_before(call):
                turns[start, length] = _turns(module.graph, start, length, longest)
        _replace(module, call, turns[start, length])


def _steps(call: fx.Node) -> int:
    """Tokens of the longest step; 1 if the length of a step is fixed."""
    q, length = call.args[_Q], call.args[_LENGTH]
    return int(q.meta["spec"].shape[1]) if isinstance(length, fx.Node) else 1  # type: ignore[union-attr]


def _turns(graph: fx.Graph, start: fx.Node, length: fx.Node, longest: int) -> list[_Turn]:
    return [
        _Turn(computed(graph, "add", start, i), computed(graph, "gt", length, i))
        for i in range(longest)
    ]


def _replace(module: fx.GraphModule, call: fx.Node, turns: list[_Turn]) -> None:
    out = call.kwargs["out"]
    assert isinstance(out, fx.Node)
    out.meta.update(val=call.meta["val"], spec=call.meta["spec"])
    given: dict[str, fx.Node] = {name: call.args[at] for name, at in _BY_TOKEN.items()}  # type: ignore[misc]
    given |= {"k_cache": call.args[_K_CACHE], "v_cache": call.args[_V_CACHE]}  # type: ignore[dict-item]
    if isinstance(mask := call.args[_MASK], fx.Node):
        given["mask"] = mask
    with module.graph.inserting_before(call):
        # The result gets the size of the queries; what is in it is overwritten row by row.
        sized = module.graph.call_function(_SIZED, (given["q"],), {"out": out})
    sized.meta = dict(call.meta)
    writers = {sized}
    for index, turn in enumerate(turns):
        inputs = {**given, "position": turn.position, "out": out}
        nothing = Branch(inputs).module()
        writers.add(
            insert_branches(
                module, call, turn.present, inputs, _one_token(inputs, call, index), nothing
            )
        )
    replace_by(call, out, writers)


def _one_token(inputs: dict[str, fx.Node], call: fx.Node, index: int) -> fx.GraphModule:
    """The same operator on token ``index`` of the step."""
    branch = Branch(inputs)
    given = branch.inputs

    def row(name: str, dim: int) -> fx.Node:
        whole = inputs[name].meta["val"]
        shape = [1 if d == dim else int(size) for d, size in enumerate(whole.shape)]
        args = (given[name], dim, index, index + 1, 1)
        operator = torch.ops.aten.slice_copy.Tensor_out
        return branch.call_new(operator, args, whole.new_empty(shape))

    q, k, v = (row(name, 1) for name in _BY_TOKEN)
    mask = row("mask", 0) if "mask" in given else None
    args = (q, k, v, given["k_cache"], given["v_cache"], given["position"], 1, mask)
    made = branch.call_new(call.target, (*args, *call.args[_MASK + 1 :]), q.meta["val"])
    # It writes a row of a tensor in this layout, of a cache or of any other.
    written = (made, given["out"], index)
    branch.call_new(torch.ops.llama.update_cache.out, written, q.meta["val"].new_empty((1,)))
    return branch.module()
