"""Slices of tensors of dynamic shape in XNNPACK's delegates.

Its partitioner refuses them because the serialized sizes are numbers. XNNPACK itself takes a size
of 0 for "as long as the input", which is written here for every dimension that is not cut. Written
for executorch 1.5; the patches hold only inside the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import SymInt, Tensor, fx

_SLICE = "aten.slice_copy.Tensor"
_SOME = 2
"""Stands for a size that is known only at run time."""


@contextmanager
def slices_of_dynamic_shape() -> Iterator[None]:
    """Context in which XNNPACK takes slices along a dimension of fixed size, with fixed ends."""
    from executorch.backends.xnnpack import xnnpack_preprocess  # noqa: F401  (fills the table)
    from executorch.backends.xnnpack.operators.node_visitor import _node_visitor_dict
    from executorch.backends.xnnpack.partition.config.generic_node_configs import SliceCopyConfig

    visitor = _node_visitor_dict[_SLICE]
    check, define = SliceCopyConfig.check_constraints, visitor.define_node

    def fixed_check(self: Any, node: fx.Node, program: Any) -> bool:
        nodes = [node, *node.all_input_nodes]
        if not _cuts_fixed(node):
            return bool(check(self, node, program))
        own = {n: n.meta["val"] for n in nodes if isinstance(n.meta.get("val"), Tensor)}
        try:
            for n, value in own.items():
                n.meta["val"] = _fixed(value)
            return bool(check(self, node, program))
        finally:
            for n, value in own.items():
                n.meta["val"] = value

    def define_whole(self: Any, node: fx.Node, graph: Any, *rest: Any) -> None:
        define(self, node, graph, *rest)
        cut = graph.xnodes[-1].xnode_union
        shape = _shape_of(graph, cut.input_id)
        ends = zip(cut.offsets, cut.sizes, shape, strict=True)
        cut.sizes = [0 if (begin, size) == (0, whole) else size for begin, size, whole in ends]

    SliceCopyConfig.check_constraints = fixed_check
    visitor.define_node = define_whole
    try:
        yield
    finally:
        SliceCopyConfig.check_constraints = check
        visitor.define_node = define


def _cuts_fixed(node: fx.Node) -> bool:
    """Whether all ends are numbers, of a dimension whose size is one."""
    source, *where = node.args
    assert isinstance(source, fx.Node)
    dim = where[0] if where else 0
    numbers = all(isinstance(value, int) for value in where)
    return numbers and isinstance(source.meta["val"].shape[dim], int)


def _fixed(value: Tensor) -> Tensor:
    sizes = [_SOME if isinstance(size, SymInt) else size for size in value.shape]
    return torch.empty(sizes, dtype=value.dtype, device="meta")


def _shape_of(graph: Any, number: int) -> list[int]:
    values = (value.xvalue_union for value in graph.xvalues)
    tensors = (getattr(value, "tensor_value", value) for value in values)
    return next(list(tensor.dims) for tensor in tensors if tensor.id_out == number)
