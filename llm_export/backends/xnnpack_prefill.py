"""Attention of multi-token steps by XNNPACK, in place of ExecuTorch's fused operator.

``llama::sdpa_with_kv_cache`` reads the cache in place, which is best for one token. For a prompt
it takes nearly half of the total time, because its softmax computes one exponential at a time.
XNNPACK's matrix products and softmax are two to three times as fast, but need a copy of the filled
part of the cache, which is cheap relative to a prompt chunk. The program contains both and
branches on the length of the step. In long contexts the KV heads are computed in turn, so that the
scores of one are held at a time.

With a mask, as of a sliding window, the operator reads the whole cache, filled or not. Here the
keys start at the first one that the step's first token may attend to. A mask is additive: less than
``_HIDDEN`` for what a token must not see, any bias above it for the rest; and no token of a step
sees further back than the first.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import torch
from torch import fx, nn

from llm_export.backends.attention_scores import delegates_prefill, held_scores, most_keys
from llm_export.backends.base import Resolved
from llm_export.backends.branches import Branch, computed, first_seen, put_branches
from llm_export.backends.chunk_attention import CausalChunk, MaskedChunk
from llm_export.backends.methods import VERIFY
from llm_export.backends.row_attention import attend_by_token
from llm_export.backends.xnnpack import Options
from llm_export.compat.edge_config import edge_config
from llm_export.compat.to_executorch import ready_for_planning
from llm_export.compat.versions import lowering_untested

_MASK = 20 << 20
"""Bytes of the copy of a mask with a row for each query of a KV head; steps that read more keys use
the fused operator.
"""


_HIDDEN = -1e4
"""Of a mask: keys with less are not attended to. Representable in half precision."""


class _Call:
    """A call of the operator: queries [K, S, G, E], keys and values [K, S, 1, E], two caches [K,
    T, 1, E], the start position of the step, its length, and a mask [S, T] unless it is causal.
    """

    NAMES = ("q", "k", "v", "k_cache", "v_cache", "start", "length", "mask")

    def __init__(self, node: fx.Node) -> None:
        out = node.kwargs["out"]
        assert isinstance(out, fx.Node)
        self.node, self.out = node, out
        given = zip(self.NAMES, node.args, strict=False)
        self.inputs = {name: value for name, value in given if isinstance(value, fx.Node)}
        """The length of a step with a fixed shape is a number and has no node."""
        dropout, causal, scale = node.args[len(self.NAMES) :]
        self.q_shape, self.cache_shape = (
            list(self.inputs[n].meta["spec"].shape) for n in ("q", "k_cache")
        )
        self.mask = self.inputs.get("mask")
        self.plain = bool(causal) is (self.mask is None) and not dropout
        heads, step, group, e = self.q_shape
        self.longest = most_keys(heads, e, self.cache_shape[1])
        """Maximum number of cache entries that the XNNPACK branch reads."""
        if self.mask is not None:
            self.longest = min(self.longest, _MASK // (4 * step * group))
        self.held = held_scores(heads, group, step, self.longest)
        given_scale = scale if isinstance(scale, float) else 0.0
        self.scale = given_scale or 1 / math.sqrt(self.q_shape[-1])

    def fits(self) -> bool:
        """Whether the step has dynamic length and a cache laid out by head."""
        dynamic = "length" in self.inputs and self.q_shape[1] > 2
        by_head = self.cache_shape[2] == 1 and self.cache_shape[0] == self.q_shape[0]
        return dynamic and by_head and self.plain and self.longest > 3

    @property
    def kind(self) -> Hashable:
        """Equal for calls that the same lowered graph computes."""
        dtypes = tuple(self.inputs[n].meta["spec"].dtype for n in ("q", "k_cache"))
        masked = self.mask is not None
        return (*self.q_shape, *self.cache_shape, *dtypes, self.scale, masked)


def before_memory_planning(resolved: Resolved, module: fx.GraphModule, config: Any) -> int:
    """Add a prefill branch to each call of the fused operator, if the recipe says so.

    Args:
        module: a method's graph before memory is planned.
        config: an ``ExecutorchBackendConfig``.

    Returns:
        the number of calls that now have a branch; 0 with versions of ExecuTorch or torch that
        are not tested.
    """
    if lowering_untested():
        return 0
    if longest := resolved.methods.lengths.get(VERIFY):
        attend_by_token(module, _operator(), longest)
    if not delegates_prefill(resolved, Options):
        return 0
    calls = [_Call(n) for n in module.graph.nodes if n.target is _operator()]
    calls = [call for call in calls if call.fits()]
    lowered: dict[Hashable, fx.GraphModule] = {}
    conditions: dict[Hashable, tuple[dict[str, fx.Node], fx.Node]] = {}
    for call in calls:
        if call.kind not in lowered:
            lowered[call.kind] = _lowered(call, config)
        if (key := (call.kind, call.mask)) not in conditions:
            with module.graph.inserting_before(call.node):
                conditions[key] = _condition(module.graph, call)
        span, several = conditions[key]
        inputs = {**call.inputs, **span, "out": call.out}
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


def _condition(graph: fx.Graph, call: _Call) -> tuple[dict[str, fx.Node], fx.Node]:
    """Which keys the step reads, and the condition: the step has several tokens, few enough scores
    and few enough keys. The runtime has no logical 'and', so the condition is a product of two
    numbers being positive: one is never negative, and a quotient makes the other one negative for
    too many keys.
    """
    length, scores = call.inputs["length"], call.held.most
    keys = computed(graph, "add", call.inputs["start"], length)
    span = {"end": keys}
    if call.mask is not None:
        # Later tokens of a step do not see further back than its first one.
        first = first_seen(graph, call.mask, call.inputs["start"], _HIDDEN)
        keys = computed(graph, "sub", keys, first)
        span = {"first": first, "keys": keys}
    further = computed(graph, "sub", length, 1)
    room = computed(graph, "sub", scores, computed(graph, "mul", length, keys))
    if call.longest < call.cache_shape[1]:
        beyond = computed(graph, "floordiv", keys, call.longest + 1)
        room = computed(graph, "sub", room, computed(graph, "mul", beyond, scores))
    return span, computed(graph, "gt", computed(graph, "mul", further, room), 0)


def _chunk(inputs: dict[str, fx.Node], lowered: fx.GraphModule) -> fx.GraphModule:
    branch = Branch(inputs)
    given = branch.inputs
    example = inputs["q"].meta["val"].new_empty((1,))
    for new, cache in (("k", "k_cache"), ("v", "v_cache")):
        args = (given[new], given[cache], given["start"])
        branch.call_new(torch.ops.llama.update_cache.out, args, example)
    branch.put(lowered, given["out"])
    return branch.module()


def _as_it_was(inputs: dict[str, fx.Node], node: fx.Node) -> fx.GraphModule:
    branch = Branch(inputs)
    given = (branch.inputs.get(name) for name in _Call.NAMES)
    args = (*given, *node.args[len(_Call.NAMES) :])
    branch.call(node, args, branch.inputs["out"])
    return branch.module()


def _lowered(call: _Call, config: Any) -> fx.GraphModule:
    """A chunk's attention for the shapes of a call, ready for memory planning."""
    from executorch.exir import to_edge_transform_and_lower
    from torch.export import Dim

    from llm_export.backends.xnnpack_partitioner import CutsOutside

    heads, step, group, e = call.q_shape
    step = min(step, call.longest)
    s = min(step, call.longest - 2, 5)  # and two keys before them
    dtypes = {name: call.inputs[name].meta["spec"].dtype for name in ("q", "k_cache")}
    # Never read, so it needs no memory, however large it is.
    caches = [torch.empty(call.cache_shape, dtype=dtypes["k_cache"]) for _ in "kv"]
    example: tuple[Any, ...] = (torch.zeros(heads, s, group, e, dtype=dtypes["q"]), *caches)
    length = Dim("s", min=2, max=step)
    shapes: tuple[Any, ...] = ({1: length}, None, None)
    module: nn.Module
    if call.mask is None:
        module = CausalChunk(call.scale, call.longest, call.held.in_turn)
        example, shapes = (*example, s + 1), (*shapes, Dim.DYNAMIC)
    else:
        module = MaskedChunk(call.scale, call.longest, call.held.in_turn)
        mask = torch.zeros(s, call.cache_shape[1], dtype=call.mask.meta["spec"].dtype)
        example = (*example, mask, 1, s + 1)
        shapes = (*shapes, {0: length}, Dim.DYNAMIC, Dim.DYNAMIC)
    program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[CutsOutside()],
        compile_config=edge_config(dim_order=False),
    )
    lowered = edge.exported_program()
    return ready_for_planning(lowered, lowered.graph_module, config, edge.compile_config)
