"""Private parts of XNNPACK's partitioner.

``generate_partitions`` of its base class determines the content of a delegate, and the test for
constants is in the same module; neither is documented. Written for executorch 1.5.
"""

from __future__ import annotations

from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.backend.canonical_partitioners.config_partitioner import is_constant_data
from torch.fx.passes.infra.partitioner import Partition

__all__ = ["Partition", "XnnpackPartitioner", "is_constant_data"]
