"""Attention of several tokens by XNNPACK, in place of ExecuTorch's fused operator.

``llama::sdpa_with_kv_cache`` reads the cache as it lies, which is what one token needs. Over a
prompt, with a softmax of an exponential at a time, it is nearly half of all work. XNNPACK's
products and softmax are two to three times as fast and want a copy of the filled part of the
cache, which is little beside a chunk of a prompt. So a program has both, and goes one way or the
other by the length of the step.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, fx, nn

from llm_export.backends.base import Resolved, options_of
from llm_export.backends.branches import Branch, computed, put_branches
from llm_export.backends.xnnpack import Options
from llm_export.compat.edge_config import edge_config
from llm_export.compat.symbolic_checks import check
from llm_export.compat.to_executorch import ready_for_planning
from llm_export.compat.versions import lowering_untested

_SCORES = 64 << 20
"""Bytes of a chunk's scores, all heads of them at once; XNNPACK keeps two or three such tensors.
Larger steps go by the fused operator, which needs none."""
_COPY = 32 << 20
"""Bytes of the copy of all keys, and of that of all values; a cache that has more goes by the
operator too."""
_MASKED = 1e5
"""Is taken from the scores of keys that a query must not see."""


class ChunkAttention(nn.Module):
    """Causal attention of the last S of ``end`` tokens over a cache that has them all.

    Args:
        scale: of the scores.
        longest: tokens in the cache at most.
    """

    def __init__(self, scale: float, longest: int) -> None:
        super().__init__()
        self.scale, self.longest = scale, longest

    def forward(self, q: Tensor, k_cache: Tensor, v_cache: Tensor, end: int) -> Tensor:
        """q [K, S, G, E], caches [K, T, 1, E] -> [K, S, G, E]."""
        heads, s, group, e = q.shape
        check(end <= self.longest)
        check(end >= s)
        k = k_cache[:, :end].float().view(heads, end, e)
        v = v_cache[:, :end].float().view(heads, end, e)
        # Row r of a head is query r // G: it sees key c if G * start + r >= G * c. Numbers are
        # made by operators: a constant would have to become one of the model's.
        first = (end - s) * group
        rows = torch.arange(first, first + s * group, dtype=torch.float32).unsqueeze(1)
        columns = torch.arange(0, end, dtype=torch.float32).unsqueeze(0)
        ahead = rows - columns * torch.full((1,), float(group))
        mask = torch.clamp(ahead, -1, 0) * torch.full((1,), _MASKED)
        rows_of_heads = q.float().view(heads, s * group, e) * torch.full((1,), self.scale)
        scores = torch.bmm(rows_of_heads, k.transpose(1, 2)) + mask
        return torch.bmm(scores.softmax(-1), v).view(heads, s, group, e).to(q.dtype)


class _Call:
    """A call of the operator: queries [K, S, G, E], keys and values [K, S, 1, E], two caches
    [K, T, 1, E], where the step starts and its length."""

    NAMES = ("q", "k", "v", "k_cache", "v_cache", "start", "length")

    def __init__(self, node: fx.Node) -> None:
        out = node.kwargs["out"]
        assert isinstance(out, fx.Node)
        self.node, self.out = node, out
        given = zip(self.NAMES, node.args, strict=False)
        self.inputs = {name: value for name, value in given if isinstance(value, fx.Node)}
        """Without what is a number: the length of a step whose shape is fixed."""
        mask, dropout, causal, scale = node.args[len(self.NAMES) :]
        self.q_shape, self.cache_shape = (
            list(self.inputs[n].meta["spec"].shape) for n in ("q", "k_cache")
        )
        self.plain = mask is None and bool(causal) and not dropout
        heads, slots, _, e = self.cache_shape
        self.longest = min(slots, _COPY // (4 * heads * e))
        """Filled entries of the cache at most, to go by XNNPACK."""
        given_scale = scale if isinstance(scale, float) else 0.0
        self.scale = given_scale or 1 / math.sqrt(self.q_shape[-1])

    def fits(self) -> bool:
        """Whether its step is of any length, its mask is the causal one, and its cache lies by
        head."""
        dynamic = len(self.inputs) == len(self.NAMES) and self.q_shape[1] > 2
        by_head = self.cache_shape[2] == 1 and self.cache_shape[0] == self.q_shape[0]
        return dynamic and by_head and self.plain and self.longest > 2

    @property
    def kind(self) -> Hashable:
        dtypes = tuple(self.inputs[n].meta["spec"].dtype for n in ("q", "k_cache"))
        return (*self.q_shape, *self.cache_shape, *dtypes, self.scale)


def before_memory_planning(resolved: Resolved, module: fx.GraphModule, config: Any) -> int:
    """Give each call of the fused operator that has the causal mask a branch for prompts. Not
    in a chain of backends, whose options are the first one's.

    Args:
        module: a method's graph before memory is planned.
        config: an ``ExecutorchBackendConfig``.

    Returns:
        the number of calls that have two ways now; 0 with versions of ExecuTorch or torch that
        are not tested.
    """
    if resolved.recipe.backend.fallbacks or not options_of(resolved, Options).delegated_prefill:
        return 0
    if lowering_untested():
        return 0
    calls = [_Call(n) for n in module.graph.nodes if n.target is _operator()]
    calls = [call for call in calls if call.fits()]
    lowered: dict[Hashable, fx.GraphModule] = {}
    conditions: dict[Hashable, tuple[fx.Node, fx.Node]] = {}
    for call in calls:
        if call.kind not in lowered:
            lowered[call.kind] = _lowered(call, config)
        if call.kind not in conditions:
            with module.graph.inserting_before(call.node):
                conditions[call.kind] = _condition(module.graph, call)
        end, several = conditions[call.kind]
        inputs = {**call.inputs, "end": end, "out": call.out}
        put_branches(
            module, call.node, several, inputs,
            then=_chunk(inputs, lowered[call.kind]),
            otherwise=_as_it_was(inputs, call.node), out=call.out,
        )  # fmt: skip
    if calls:
        module.recompile()
    return len(calls)


def _operator() -> Any:
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401

    return torch.ops.llama.sdpa_with_kv_cache.out


def _condition(graph: fx.Graph, call: _Call) -> tuple[fx.Node, fx.Node]:
    """The end of the step, and whether it has several tokens, few enough scores and few enough
    keys. The runtime has no 'and' of conditions; a product of two numbers, one never negative,
    is one, and so is a number that a quotient makes negative."""
    length, scores = call.inputs["length"], _SCORES // (4 * call.q_shape[0] * call.q_shape[2])
    end = computed(graph, "add", call.inputs["start"], length)
    further = computed(graph, "sub", length, 1)
    room = computed(graph, "sub", scores, computed(graph, "mul", length, end))
    if call.longest < call.cache_shape[1]:
        beyond = computed(graph, "floordiv", end, call.longest + 1)
        room = computed(graph, "sub", room, computed(graph, "mul", beyond, scores))
    return end, computed(graph, "gt", computed(graph, "mul", further, room), 0)


def _chunk(inputs: dict[str, fx.Node], lowered: fx.GraphModule) -> fx.GraphModule:
    branch = Branch(inputs)
    given = branch.inputs
    example = inputs["q"].meta["val"].new_empty((1,))
    for new, cache in (("k", "k_cache"), ("v", "v_cache")):
        args = (given[new], given[cache], given["start"])
        branch.call_for_effect(torch.ops.llama.update_cache.out, args, example)
    branch.put(lowered, given["out"])
    return branch.module()


def _as_it_was(inputs: dict[str, fx.Node], node: fx.Node) -> fx.GraphModule:
    branch = Branch(inputs)
    args = (*(branch.inputs[name] for name in _Call.NAMES), *node.args[len(_Call.NAMES) :])
    branch.call(node, args, branch.inputs["out"])
    return branch.module()


def _lowered(call: _Call, config: Any) -> fx.GraphModule:
    """``ChunkAttention`` of a call's shapes, ready for memory planning."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from torch.export import Dim

    heads, step, group, e = call.q_shape
    step = min(step, call.longest)
    s = min(step, call.longest - 1, 5)
    dtypes = {name: call.inputs[name].meta["spec"].dtype for name in ("q", "k_cache")}
    # Never read, and so, however large, no memory.
    caches = [torch.empty(call.cache_shape, dtype=dtypes["k_cache"]) for _ in "kv"]
    example = (torch.zeros(heads, s, group, e, dtype=dtypes["q"]), *caches, s + 1)
    shapes = ({1: Dim("s", min=2, max=step)}, None, None, Dim.DYNAMIC)
    program = torch.export.export(
        ChunkAttention(call.scale, call.longest), example, dynamic_shapes=shapes, strict=False
    )
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()],
        compile_config=edge_config(dim_order=False),
    )
    lowered = edge.exported_program()
    return ready_for_planning(lowered, lowered.graph_module, config, edge.compile_config)
