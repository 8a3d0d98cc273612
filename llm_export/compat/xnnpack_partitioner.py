"""What XNNPACK's partitioner is made of.

``generate_partitions`` of its base class decides what a delegate holds, and the test for constants
lies beside it; neither is documented. Written for executorch 1.5.
"""

from __future__ import annotations

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.backend.canonical_partitioners.config_partitioner import is_constant_data
from torch.fx.passes.infra.partitioner import Partition

__all__ = ["Partition", "XnnpackPartitioner", "is_constant_data"]
