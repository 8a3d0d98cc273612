"""Private parts of XNNPACK's partitioner.

``generate_partitions`` of its base class determines the content of a delegate, and the test for
constants is in the same module; neither is documented. Written for executorch 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from executorch.backends.xnnpack.partition.config.xnnpack_config import XNNPartitionerConfig
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.backend.canonical_partitioners.config_partitioner import is_constant_data
from torch import fx
from torch.fx.passes.infra.partitioner import Partition

__all__ = ["Partition", "XnnpackPartitioner", "is_constant_data", "stated_shapes"]


@contextmanager
def stated_shapes(value_of: Callable[[fx.Node], Any]) -> Iterator[None]:
    """Context in which the partitioner's test of an operator's inputs reads ``value_of(node)``
    instead of the node's own value. The test refuses all sizes that depend on data, because it
    cannot tell whether such a tensor is empty.
    """
    plain = XNNPartitionerConfig._check_inputs_are_valid_dtypes

    def check(self: Any, node: fx.Node, valid_dtypes: Any) -> bool:
        own = {n: n.meta["val"] for n in node.all_input_nodes if "val" in n.meta}
        try:
            for source in own:
                source.meta["val"] = value_of(source)
            return bool(plain(self, node, valid_dtypes))
        finally:
            for source, value in own.items():
                source.meta["val"] = value

    XNNPartitionerConfig._check_inputs_are_valid_dtypes = check
    try:
        yield
    finally:
        XNNPartitionerConfig._check_inputs_are_valid_dtypes = plain
