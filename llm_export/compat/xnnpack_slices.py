"""Private parts of XNNPACK's partitioner and serializer: slices of tensors of dynamic shape.

XNNPACK's slice takes a size of 0 at offset 0 as the whole dimension, whatever its size in a call.
ExecuTorch refuses a slice with any dynamic dimension, and writes a dimension's upper bound as its
size. Written for executorch 1.5. The patches hold only inside the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx


@contextmanager
def slices_of_fixed_dimensions() -> Iterator[None]:
    """Context in which XNNPACK takes slices along dimensions of fixed size."""
    from executorch.backends.xnnpack.operators import op_slice_copy  # noqa: F401  (registers it)
    from executorch.backends.xnnpack.operators.node_visitor import _node_visitor_dict
    from executorch.backends.xnnpack.partition.config.generic_node_configs import SliceCopyConfig

    visitor = _node_visitor_dict["aten.slice_copy.Tensor"]
    plain_check = SliceCopyConfig.check_constraints
    plain_define = visitor.define_node

    def check(self: Any, node: fx.Node, program: Any) -> bool:
        if not _dynamic_elsewhere(node):
            return bool(plain_check(self, node, program))
        return bool(self.check_common_constraints(node, program))

    def define(self: Any, node: fx.Node, graph: Any, ids: Any, handle: int) -> None:
        plain_define(self, node, graph, ids, handle)
        made = graph.xnodes[-1].xnode_union
        shape = node.meta["val"].shape
        made.sizes = [s if type(d) is int else 0 for s, d in zip(made.sizes, shape, strict=True)]

    SliceCopyConfig.check_constraints = check
    visitor.define_node = define
    try:
        yield
    finally:
        SliceCopyConfig.check_constraints = plain_check
        visitor.define_node = plain_define


def _dynamic_elsewhere(node: fx.Node) -> bool:
    """Whether some dimension is dynamic, and the sliced one is of fixed size before and after."""
    source, dim, begin, _, stride = (*node.args, *(0, 0, None, 1)[len(node.args) - 1 :])
    given, made = source.meta["val"], node.meta["val"]  # type: ignore[union-attr]
    if all(type(d) is int for d in given.shape):
        return False
    fixed = type(given.shape[dim]) is int and type(made.shape[dim]) is int
    return fixed and type(begin or 0) is int and stride == 1 and made.shape[dim] > 0
